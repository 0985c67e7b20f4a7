"""Prototypes of a modality's features, from which missing ones are put together (SMIL)."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor

KINDS_OF_PRIORS = ("kmeans", "pca")


def find_priors(
    features: Float[Tensor, "samples features"], count: int, kind: str, seed: int = 0
) -> Float[Tensor, "count features"]:
    """The modality priors of SMIL (its section on missing modality reconstruction).

    Args:
        features: Features of samples that have the modality.
        count: How many priors.
        kind: `kmeans`: centres of clusters; `pca`: the mean plus one standard deviation along
            each principal direction.
        seed: Seed of the clustering.

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
    found = _centres(x, count, seed) if kind == "kmeans" else _directions(x, count)
    return torch.as_tensor(found, dtype=features.dtype, device=features.device)


def _centres(x: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        # An empty cluster keeps its centre; with identical samples there is nothing better.
        warnings.simplefilter("ignore")
        centres, _ = kmeans2(x, count, iter=50, minit="++", rng=np.random.default_rng(seed))
    return np.asarray(centres)


def _directions(x: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    mean = x.mean(axis=0)
    _, scale, axes = np.linalg.svd(x - mean, full_matrices=False)
    found = np.zeros((count, x.shape[1]))
    kept = min(count, len(axes))
    found[:kept] = axes[:kept] * scale[:kept, None] / np.sqrt(len(x))
    found += mean
    return found
