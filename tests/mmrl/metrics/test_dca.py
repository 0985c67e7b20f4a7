"""Delaunay component analysis: the authors' example, exact graphs, and what alignment must mean."""

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from mmrl.metrics.dca import alignment, delaunay_edges

# The toy example of the authors' repository (petrapoklukar/DCA, MIT): two clouds of twenty points.
REFERENCE = np.array(
    [
        [3.951613, 8.149351],
        [4.233871, 7.554113],
        [4.677419, 8.149351],
        [4.939516, 7.878788],
        [5.703226, 8.341126],
        [5.645161, 7.608225],
        [6.346774, 7.5671],
        [6.669355, 6.869481],
        [6.028226, 6.363636],
        [5.78629, 5.876623],
        [6.169355, 5.714286],
        [5.866935, 5.254329],
        [1.451613, 3.982684],
        [0.221774, 2.927489],
        [0.645161, 1.114719],
        [1.512097, 2.278139],
        [2.741935, 3.333333],
        [1.733871, 0.492424],
        [2.721774, 1.331169],
        [3.548387, 2.575758],
    ]
)
EVALUATED = np.array(
    [
        [0.262097, 7.554113],
        [2.903226, 1.737013],
        [2.540323, 1.655844],
        [2.5, 1.304113],
        [2.681452, 1.006494],
        [3.004032, 1.358225],
        [3.024194, 1.03355],
        [3.205645, 0.925325],
        [3.185484, 1.25],
        [3.306452, 1.168831],
        [3.346774, 1.006494],
        [3.568548, 1.087662],
        [3.427419, 1.412338],
        [3.608871, 1.493506],
        [3.689516, 1.25],
        [3.790323, 0.979437],
        [3.931452, 1.006494],
        [3.850806, 1.25],
        [3.790323, 1.520563],
        [4.032258, 1.304113],
    ]
)
RANDOM = np.random.default_rng(0)


def exact_edges(points: np.ndarray) -> set[tuple[int, int]]:
    simplices = Delaunay(points).simplices
    corners = range(points.shape[1] + 1)
    pairs = {(s[a], s[b]) for s in simplices for a in corners for b in range(a)}
    return {(min(pair), max(pair)) for pair in pairs}


def found_edges(points: np.ndarray, rays: int) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in delaunay_edges(points, rays=rays, workers=1)}


def test_the_authors_example() -> None:
    found = alignment(REFERENCE, EVALUATED)
    assert (found.precision, found.recall, found.quality) == pytest.approx((0.95, 0.4, 0.2))
    assert (found.edges, found.mixed_edges, found.components) == (95, 19, 3)
    assert found.score == pytest.approx(3 / (1 / 0.95 + 1 / 0.4 + 1 / 0.2))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_many_rays_find_the_exact_graph_in_the_plane(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(size=(80, 2))
    assert found_edges(points, 20_000) == exact_edges(points)


def test_no_edge_is_wrong_and_few_are_missed_in_space() -> None:
    points = RANDOM.normal(size=(300, 3))
    exact, found = exact_edges(points), found_edges(points, 5_000)
    assert found <= exact
    assert len(found) > 0.95 * len(exact)


def test_neighbours_are_those_of_every_wall_tried_one_by_one() -> None:
    points = RANDOM.normal(size=(300, 10)).astype(np.float32).astype(np.float64)
    rays = 64
    found = found_edges(points, rays)
    generator = torch.Generator().manual_seed(0)
    lines = torch.nn.functional.normalize(torch.randn(rays, 10, generator=generator), dim=1)
    naive = set()
    order = np.unique(points, axis=0, return_index=True)[1]
    for i in order:
        step = points[order] - points[i]
        squares = np.sum(step**2, axis=1)
        for u in np.concatenate([lines.numpy(), -lines.numpy()]):
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = np.where(squares > 0, step @ u / squares, -np.inf)
            if inverse.max() > 0:
                j = order[int(inverse.argmax())]
                naive.add((min(i, j), max(i, j)))
    assert len(found ^ naive) <= 2  # single against double precision at ties


def test_one_cloud_twice_is_aligned_and_two_apart_are_not() -> None:
    centres = np.repeat(RANDOM.normal(size=(4, 5)) * 20, 40, axis=0)
    one, other = (centres + RANDOM.normal(size=centres.shape) for _ in range(2))
    together = alignment(one, other, rays=300)
    assert together.score > 0.6
    assert together.precision > 0.8
    apart = alignment(one, other + 500.0, rays=300)
    assert apart.score == apart.precision == apart.recall == apart.quality == 0.0


def test_moving_and_scaling_everything_changes_nothing() -> None:
    once = alignment(REFERENCE, EVALUATED, rays=2000)
    assert alignment(1000 * REFERENCE + 5, 1000 * EVALUATED + 5, rays=2000) == once


def test_copies_of_points_are_neighbours() -> None:
    assert found_edges(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), 50) == {(0, 1), (0, 2)}
    same = alignment(REFERENCE, REFERENCE, rays=500)
    assert same.recall == same.precision > 0.5


def test_clouds_that_no_ray_joins_are_apart() -> None:
    found = alignment(REFERENCE, EVALUATED + 1e9, rays=3)
    assert found.score == 0.0
    assert found.components >= 2


@pytest.mark.parametrize("bad", [np.ones((3, 2)), np.full((30, 2), np.nan)])
def test_what_cannot_be_analysed_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite numbers and at least 20 points"):
        alignment(bad, bad[:1])
