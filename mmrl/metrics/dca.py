"""Delaunay component analysis: are two clouds of points geometrically aligned?

Poklukar et al., "Delaunay Component Analysis for Evaluation of Data Representations", ICLR 2022,
https://arxiv.org/abs/2202.06866; the measure of alignment in the GMC paper. A Delaunay graph of
both clouds is distilled into components by HDBSCAN; a component that holds points of both clouds,
joined by edges, is fundamental.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from mmrl.data.extras import optional

RAYS_AT_ONCE = 512
PIECE = 128
"""Points among which the winner of a ray is looked for in the end; chunks are multiples of it."""


@dataclass(frozen=True)
class Alignment:
    """What Delaunay component analysis finds of two clouds, reference and evaluated.

    Args:
        precision: Share of evaluated points in fundamental components.
        recall: Share of reference points in fundamental components.
        quality: Share of edges between the clouds among all edges of the components.
        edges: Number of edges of the components.
        mixed_edges: Number of those that join the two clouds.
        components: Number of components, single points included.
    """

    precision: float
    recall: float
    quality: float
    edges: int
    mixed_edges: int
    components: int

    @property
    def score(self) -> float:
        """Harmonic mean of precision, recall and quality, as the GMC paper reports; in [0, 1]."""
        parts = (self.precision, self.recall, self.quality)
        return 3.0 / sum(1.0 / part for part in parts) if min(parts) > 0 else 0.0


def alignment(
    reference: Float[np.ndarray, "points dim"],
    evaluated: Float[np.ndarray, "other_points dim"],
    *,
    rays: int = 10_000,
    min_cluster_size: int = 10,
    seed: int = 0,
    workers: int | None = None,
) -> Alignment:
    """Delaunay component analysis of two clouds of points.

    Args:
        reference: Representations of complete observations, for example.
        evaluated: Representations by one modality.
        rays: Random lines through each point along which its neighbours are looked for, both ways.
        min_cluster_size: Points that a component of its own has at least.
        seed: Seed of the lines' directions.
        workers: Threads; None is one for each core.

    Raises:
        ValueError: Fewer points than a component needs, or numbers that are not finite.

    Example:
        >>> cloud = np.random.default_rng(0).normal(size=(60, 2))
        >>> alignment(cloud, cloud + 100.0, rays=200).score
        0.0
    """
    points = np.concatenate([reference, evaluated]).astype(np.float64)
    if len(points) < 2 * min_cluster_size or not np.isfinite(points).all():
        raise ValueError(
            f"alignment needs finite numbers and at least {2 * min_cluster_size} points "
            f"(twice min_cluster_size), got {len(points)}"
        )
    edges = delaunay_edges(points, rays=rays, seed=seed, workers=workers)
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    labels = _components(edges, lengths, len(points), min_cluster_size)
    return _evaluate(edges, labels, len(reference))


def delaunay_edges(
    points: Float[np.ndarray, "points dim"],
    *,
    rays: int = 10_000,
    seed: int = 0,
    workers: int | None = None,
) -> Int[np.ndarray, "edges 2"]:
    """Edges of the Delaunay graph that random lines through every point find.

    Along a ray u from x_i the first wall of its Voronoi cell belongs to the neighbour x_j with the
    largest u·(x_j - x_i) / |x_j - x_i|² > 0 (half the inverse of the distance t_j to the wall).
    Many rays find every neighbour whose wall is not tiny.

    Args:
        points: The cloud; a copy of a point is a neighbour of the first such point only.
        rays: Lines through each point, looked along both ways.
        seed: Seed of their directions, which all points share.
        workers: Threads; None is one for each core. Each needs a few megabytes, whatever the size.

    Returns:
        Pairs of indices, the smaller one first, in order.
    """
    unique, where, same = np.unique(points, axis=0, return_index=True, return_inverse=True)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(rays, unique.shape[1], generator=generator)
    directions = torch.nn.functional.normalize(directions, dim=1)
    centred = unique - unique.mean(axis=0)
    cloud = torch.from_numpy((centred / max(centred.std(), 1e-300)).astype(np.float32))
    search = _Neighbours(cloud, torch.cat([directions, -directions]))
    with _one_thread_each(), ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        found = list(pool.map(search.of, range(len(cloud))))
    walls = [(where[i], where[j]) for i, near in enumerate(found) for j in near]
    copies = [(first, i) for i, first in enumerate(where[same.ravel()]) if i != first]
    pairs = np.array([*walls, *copies], np.int64).reshape(-1, 2)
    return np.unique(np.sort(pairs, axis=1), axis=0)


class _Neighbours:
    """Looks for the neighbours of one point after the other."""

    def __init__(self, cloud: Tensor, directions: Tensor) -> None:
        self.cloud = cloud
        self.directions = directions
        parts = directions.split(RAYS_AT_ONCE)
        self.reach = torch.cat([(part @ cloud.T).amax(1) for part in parts])
        """How far the cloud goes in each direction."""

    def of(self, index: int) -> list[int]:
        """Neighbours of a point.

        Nearer points are tried first. With height h of the cloud above x_i along u, a point at
        distance r reaches at most h / r², so a ray is settled when its best is above that.
        """
        difference = self.cloud - self.cloud[index]
        squares, order = difference.square().sum(dim=1).sort()
        squares, order = squares[1:], order[1:]  # without the point itself
        scaled = (difference[order] / squares[:, None]).T.contiguous()
        open_rays, best = self.directions, torch.zeros(len(self.directions))
        height = self.reach - self.directions @ self.cloud[index]
        winners: list[tuple[Tensor, Tensor]] = []
        piece = torch.full((len(open_rays),), -1)
        start, size = 0, PIECE
        while start < len(order) and len(open_rays):
            _improve(open_rays, scaled[:, start : start + size], start, best, piece)
            start, size = start + size, 2 * size
            if start < len(order):
                still = best * squares[start] < height * (1 + 1e-5)
                winners.append((open_rays[~still], piece[~still]))
                open_rays, best, height, piece = (
                    values[still] for values in (open_rays, best, height, piece)
                )
        winners.append((open_rays, piece))
        settled, pieces = (torch.cat(parts) for parts in zip(*winners, strict=True))
        return order[_winners(settled, pieces, scaled)].tolist()


def _improve(rays: Tensor, scaled: Tensor, start: int, best: Tensor, piece: Tensor) -> None:
    """Takes more points into account: the best value of each ray, and the piece that has it.

    Largest values of pieces, without their places, take a tenth of the time of torch's argmax.
    """
    whole = scaled.shape[1] // PIECE * PIECE
    for first in range(0, len(rays), RAYS_AT_ONCE):
        rows = slice(first, first + RAYS_AT_ONCE)
        values = rays[rows] @ scaled
        tops = [values[:, :whole].unflatten(1, (-1, PIECE)).amax(2)] if whole else []
        tops += [values[:, whole:].amax(1, keepdim=True)] if whole < values.shape[1] else []
        top, place = torch.cat(tops, dim=1).max(1)
        better = top > best[rows]
        best[rows] = torch.where(better, top, best[rows])
        piece[rows] = torch.where(better, start // PIECE + place, piece[rows])


def _winners(rays: Tensor, pieces: Tensor, scaled: Tensor) -> Tensor:
    """The points that win some ray, by their places among the columns."""
    found = [
        number * PIECE
        + (rays[pieces == number] @ scaled[:, number * PIECE : (number + 1) * PIECE]).argmax(1)
        for number in pieces.unique().tolist()
        if number >= 0
    ]
    return torch.cat(found).unique() if found else torch.zeros(0, dtype=torch.long)


def _components(
    edges: NDArray[np.int64], lengths: NDArray[np.float64], count: int, min_cluster_size: int
) -> NDArray[np.int64]:
    """Labels of points by HDBSCAN on the graph; -1 is a point that is a component of its own."""
    longest = lengths.max(initial=0.0) or 1.0
    graph = _graph(edges, np.maximum(lengths, 1e-12 * longest), count)  # zero would be no edge
    # Parts that no ray joined are joined by edges that any cut takes first.
    parts, part = connected_components(graph, directed=False)
    firsts = np.unique(part, return_index=True)[1]
    bridges = np.stack([np.repeat(firsts[0], parts - 1), firsts[1:]], axis=1)
    graph = graph + _graph(bridges, np.full(parts - 1, 2.0 * longest), count)
    cluster = optional("sklearn.cluster", "data")
    # min_samples=1 leaves the edges' lengths as they are: single linkage, as the authors have it.
    clusters = cluster.HDBSCAN(
        min_cluster_size=min_cluster_size, min_samples=1, metric="precomputed", copy=True
    )
    labels: NDArray[np.int64] = clusters.fit(graph).labels_.astype(np.int64)
    return labels


def _graph(edges: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> csr_matrix:
    """Edges as a symmetric sparse matrix."""
    upper = coo_matrix((weights, (edges[:, 0], edges[:, 1])), shape=(count, count))
    return csr_matrix(upper + upper.T)


def _evaluate(edges: NDArray[np.int64], labels: NDArray[np.int64], references: int) -> Alignment:
    """Consistency and quality of every component, and what share of points is in good ones."""
    is_reference = np.arange(len(labels)) < references
    kept = edges[(labels[edges[:, 0]] == labels[edges[:, 1]]) & (labels[edges[:, 0]] >= 0)]
    mixed = kept[is_reference[kept[:, 0]] != is_reference[kept[:, 1]]]
    # Quality above 0 (edges between the clouds) implies consistency above 0 (points of both).
    fundamental = np.isin(labels, np.unique(labels[mixed[:, 0]]))
    return Alignment(
        precision=float(fundamental[~is_reference].mean()),
        recall=float(fundamental[is_reference].mean()),
        quality=len(mixed) / len(kept) if len(kept) else 0.0,
        edges=len(kept),
        mixed_edges=len(mixed),
        components=int(labels.max() + 1 + (labels < 0).sum()),
    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Threads of ours share the cores, not those of every product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
