"""Scores of predicted classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

AVERAGES = ("weighted", "macro")

Classes = Int[NDArray[np.integer], " samples"]


def accuracy(prediction: Classes, target: Classes) -> float:
    """Share of samples whose class is predicted.

    Raises:
        ValueError: No samples, or different numbers of them.

    Example:
        >>> accuracy(np.array([0, 1, 1]), np.array([0, 1, 2]))
        0.666...
    """
    _check(prediction, target)
    return float(np.mean(prediction == target))


def balanced_accuracy(prediction: Classes, target: Classes) -> float:
    """Mean over the classes of the target of the share that is predicted (recall).

    Raises:
        ValueError: No samples, or different numbers of them.
    """
    _check(prediction, target)
    hit, _, true = _counts(prediction, target)
    return float(np.mean(hit[true > 0] / true[true > 0]))


def f1(prediction: Classes, target: Classes, average: str = "weighted") -> float:
    """Mean over classes of 2 hits / (predicted + true).

    Args:
        prediction: Class indices from 0.
        target: Class indices from 0.
        average: `weighted` by the number of samples of each class, or `macro`, the plain mean over
            classes that occur in prediction or target (as in scikit-learn).

    Raises:
        ValueError: No samples, different numbers of them, or an unknown average.
    """
    _check(prediction, target)
    return _mean_f1(*_counts(prediction, target), average)


def classification_scores(
    logits: Float[NDArray[np.floating], "samples classes"], target: Classes
) -> dict[str, float]:
    """All scores of the greatest logit as the prediction, by name.

    Raises:
        ValueError: Logits that are NaN, no samples, or different numbers of them.

    Example:
        >>> classification_scores(np.eye(3), np.arange(3))["f1_macro"]
        1.0
    """
    if np.isnan(logits).any():
        raise ValueError(f"{int(np.isnan(logits).any(axis=1).sum())} predictions are NaN")
    prediction = logits.argmax(axis=1)
    return {
        "accuracy": accuracy(prediction, target),
        "balanced_accuracy": balanced_accuracy(prediction, target),
        "f1_weighted": f1(prediction, target),
        "f1_macro": f1(prediction, target, "macro"),
    }


def _counts(
    prediction: Classes, target: Classes
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Per class: samples predicted rightly, predicted at all, and true."""
    classes = int(max(prediction.max(), target.max())) + 1
    hits = target[prediction == target]
    return tuple(np.bincount(x, minlength=classes) for x in (hits, prediction, target))  # type: ignore[return-value]


def _mean_f1(
    hit: NDArray[np.integer],
    predicted: NDArray[np.integer],
    true: NDArray[np.integer],
    average: str,
) -> float:
    if average not in AVERAGES:
        raise ValueError(f"unknown average {average!r}; known: {', '.join(AVERAGES)}")
    scores = 2 * hit / np.maximum(predicted + true, 1)
    if average == "weighted":
        return float((scores * true).sum() / max(true.sum(), 1))
    return float(scores[predicted + true > 0].mean())


def _check(prediction: NDArray[np.generic], target: NDArray[np.generic]) -> None:
    if prediction.shape != target.shape or len(target) == 0:
        raise ValueError(
            f"expected as many predictions as targets, at least one: {prediction.shape} and "
            f"{target.shape}"
        )
