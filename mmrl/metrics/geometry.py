"""How well representations of single modalities are aligned with those of all together.

Cheap figures that exist at any size; `mmrl.metrics.dca` has the one of the GMC paper.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def mean_cosine(
    one: Float[np.ndarray, "points dim"], other: Float[np.ndarray, "points dim"]
) -> float:
    """Mean cosine of matching pairs, in [-1, 1]: 1 where directions agree.

    Args:
        one: Representations of the samples by some modalities.
        other: Representations of the same samples, in the same order, by others.

    Example:
        >>> mean_cosine(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0]]))
        1.0
    """
    return float(np.mean(np.sum(_directions(one) * _directions(other), axis=1)))


def retrieval_accuracy(
    one: Float[np.ndarray, "points dim"],
    other: Float[np.ndarray, "points dim"],
    *,
    block: int = 1024,
) -> float:
    """Share of samples whose nearest other representation, by cosine, is their own.

    Args:
        one: Representations that look for their partner.
        other: Representations of the same samples, in the same order.
        block: How many samples are compared at once, which bounds the memory.

    Returns:
        In [0, 1]; by chance one over the number of samples.

    Example:
        >>> points = np.eye(3)
        >>> retrieval_accuracy(points, points), retrieval_accuracy(points, points[[1, 2, 0]])
        (1.0, 0.0)
    """
    ours, theirs = _directions(one), _directions(other)
    found = [
        np.argmax(ours[start : start + block] @ theirs.T, axis=1)
        for start in range(0, len(ours), block)
    ]
    return float(np.mean(np.concatenate(found) == np.arange(len(ours))))


def linear_cka(
    one: Float[np.ndarray, "points dim"], other: Float[np.ndarray, "points other_dim"]
) -> float:
    """Centred kernel alignment with linear kernels, in [0, 1].

    1 where one is the other, turned, mirrored, moved or scaled as a whole. Kornblith et al., 2019,
    "Similarity of neural network representations revisited", https://arxiv.org/abs/1905.00414.

    Args:
        one: Representations of samples.
        other: Representations of the same samples, in the same order, of any size.

    Returns:
        The alignment; 0 where one of them is constant.
    """
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    scale = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / scale) if scale > 0 else 0.0


def modality_gap(
    one: Float[np.ndarray, "points dim"], other: Float[np.ndarray, "points dim"]
) -> float:
    """Distance between the centres of two clouds of directions, in [0, 2].

    Liang et al., 2022, "Mind the gap", https://arxiv.org/abs/2203.02053: 0 where modalities share
    one region of the sphere, however badly their pairs match within it.

    Args:
        one: Representations by some modalities.
        other: Representations by others.

    Example:
        >>> modality_gap(np.array([[1.0, 0.0]]), np.array([[-3.0, 0.0]]))
        2.0
    """
    return float(np.linalg.norm(_directions(one).mean(axis=0) - _directions(other).mean(axis=0)))


def _directions(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points on the unit sphere; the origin stays where it is."""
    wide = np.asarray(points, np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(norms > 0, norms, 1.0)
