"""Scores of predicted labels, of which a sample can have several (MM-IMDb's genres)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

LABEL_AVERAGES = ("weighted", "macro", "micro", "samples")

Labels = Bool[NDArray[np.bool_], "samples labels"]


def f1_labels(prediction: Labels, target: Labels, average: str = "weighted") -> float:
    """Mean of F1, which is 2 hits / (predicted + true), and 0 where neither occurs.

    Args:
        prediction: Which labels are predicted.
        target: Which labels are true.
        average: Over labels, `weighted` by how often each is true, or all alike (`macro`);
            `micro`: one F1 of all labels of all samples; `samples`: over samples, each with the
            F1 of its own labels.

    Raises:
        ValueError: No samples, shapes that differ, or an unknown average.

    Example:
        >>> target = np.array([[True, False], [True, True]])
        >>> f1_labels(np.array([[True, True], [True, True]]), target, "samples")
        0.833...
    """
    if average not in LABEL_AVERAGES:
        raise ValueError(f"unknown average {average!r}; known: {', '.join(LABEL_AVERAGES)}")
    _check(prediction, target)
    over = {"micro": None, "samples": 1}.get(average, 0)
    hit = (prediction & target).sum(axis=over)
    true = target.sum(axis=over)
    scores = 2 * hit / np.maximum(prediction.sum(axis=over) + true, 1)
    if average == "weighted":
        return float((scores * true).sum() / max(true.sum(), 1))
    return float(np.mean(scores))


def mean_average_precision(
    logits: Float[NDArray[np.floating], "samples labels"], target: Labels
) -> float:
    """Mean over labels of the average precision: how far above the others a label's samples are.

    Samples are ordered by their logit; the average precision of a label is the sum, over the
    distinct logits from above, of the precision down to there times the recall gained there.
    Labels that are never true have none and are left out.

    Raises:
        ValueError: No samples, or shapes that differ.

    Returns:
        In [0, 1]; NaN where no label is ever true.

    Example:
        >>> mean_average_precision(np.array([[3.0], [2.0], [1.0]]), np.array([[1], [0], [1]]) > 0)
        0.833...
    """
    _check(logits, target)
    found = [
        _average_precision(logits[:, i], target[:, i])
        for i in np.flatnonzero(target.any(axis=0)).tolist()
    ]
    return float(np.mean(found)) if found else float("nan")


def label_scores(
    logits: Float[NDArray[np.floating], "samples labels"], target: Labels
) -> dict[str, float]:
    """All scores by name; labels whose logit is positive are predicted.

    Raises:
        ValueError: Logits that are NaN, no samples, or shapes that differ.
    """
    if np.isnan(logits).any():
        raise ValueError(f"{int(np.isnan(logits).any(axis=1).sum())} predictions are NaN")
    prediction = np.asarray(logits > 0)
    f1 = {f"f1_{average}": f1_labels(prediction, target, average) for average in LABEL_AVERAGES}
    samples = f1.pop("f1_samples")
    return {**f1, "mean_ap": mean_average_precision(logits, target), "f1_samples": samples}


def _average_precision(logits: NDArray[np.floating], true: NDArray[np.bool_]) -> float:
    order = np.argsort(-logits, kind="stable")
    ranked = logits[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of equal logits
    hits = np.cumsum(true[order])[last]
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float((gained * hits / (last + 1)).sum())


def _check(prediction: NDArray[np.generic], target: NDArray[np.generic]) -> None:
    if prediction.shape != target.shape or len(target) == 0:
        raise ValueError(
            f"expected as many predictions as targets, at least one: {prediction.shape} and "
            f"{target.shape}"
        )
