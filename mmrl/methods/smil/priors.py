"""Prototypes of a modality's features, from which missing ones are put together (SMIL)."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.optimize import linear_sum_assignment
from torch import Tensor

KINDS_OF_PRIORS = ("kmeans", "pca")
STARTS = 5
ITERATIONS = 50


def find_priors(
    features: Float[Tensor, "samples features"],
    count: int,
    kind: str,
    seed: int = 0,
    previous: Float[Tensor, "count features"] | None = None,
) -> Float[Tensor, "count features"]:
    """The modality priors of SMIL (its section on missing modality reconstruction).

    Args:
        features: Features of samples that have the modality.
        count: How many priors.
        kind: `kmeans`: centres of clusters; `pca`: the mean plus one standard deviation along
            each principal direction.
        seed: Seed of the clustering.
        previous: Priors of the same features as they were, each of which finds its place among
            them as they are: what has been learned of it stays true. None starts anew; the best of
            several starts is taken.

    Returns:
        On the device of the features.

    Raises:
        ValueError: Unknown kind, or fewer samples than priors.

    Example:
        >>> two = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]])
        >>> find_priors(two, 2, "kmeans").sort(dim=0).values
        tensor([[0., 1.],
                [9., 1.]])
    """
    if kind not in KINDS_OF_PRIORS:
        raise ValueError(f"priors is {kind!r}; known: {', '.join(KINDS_OF_PRIORS)}")
    if len(features) < count:
        raise ValueError(f"{count} priors want at least as many samples, got {len(features)}")
    x = features.detach().double().cpu().numpy()
    known = None if previous is None else previous.detach().double().cpu().numpy()
    found = _centres(x, count, seed, known) if kind == "kmeans" else _directions(x, count, known)
    return torch.as_tensor(found, dtype=features.dtype, device=features.device)


def _centres(
    x: NDArray[np.float64], count: int, seed: int, known: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        # An empty cluster keeps its centre; with identical samples there is nothing better.
        warnings.simplefilter("ignore")
        tries = [kmeans2(x, count, iter=ITERATIONS, minit="++", rng=rng) for _ in range(STARTS)]
    spreads = [np.square(x - centres[nearest]).sum() for centres, nearest in tries]
    found = np.asarray(tries[int(np.argmin(spreads))][0])
    if known is None:
        return found
    # Begun at the old centres, those that the features have left would stay there, empty.
    distances = np.linalg.norm(known[:, None] - found[None], axis=2)
    return np.asarray(found[linear_sum_assignment(distances)[1]])


def _directions(
    x: NDArray[np.float64], count: int, known: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    mean = x.mean(axis=0)
    _, scale, axes = np.linalg.svd(x - mean, full_matrices=False)
    found = np.zeros((count, x.shape[1]))
    kept = min(count, len(axes))
    found[:kept] = axes[:kept] * scale[:kept, None] / np.sqrt(len(x))
    if known is not None:  # which end of an axis is taken is chance
        found *= np.where((found * (known - known.mean(axis=0))).sum(axis=1) < 0, -1, 1)[:, None]
    found += mean
    return found
