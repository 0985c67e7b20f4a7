"""Scores of predicted numbers, among them those of sentiment in [-3, 3] (CMU-MOSI and MOSEI)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from mmrl.metrics.classification import accuracy, f1

CONVENTIONS = ("nonzero", "has_zero")

Numbers = Float[NDArray[np.floating], " samples"]


def mean_absolute_error(prediction: Numbers, target: Numbers) -> float:
    """Mean of |prediction - target|.

    Raises:
        ValueError: No samples, different numbers of them, or values that are not finite.
    """
    _check(prediction, target)
    return float(np.abs(_wide(prediction) - target).mean())


def pearson(prediction: Numbers, target: Numbers) -> float:
    """Pearson's correlation; 0 where either is constant, which predicts nothing.

    Raises:
        ValueError: No samples, different numbers of them, or values that are not finite.

    Example:
        >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 10.0]))
        1.0
    """
    _check(prediction, target)
    if np.ptp(prediction) == 0 or np.ptp(target) == 0:
        return 0.0
    x, y = _wide(prediction) - _wide(prediction).mean(), _wide(target) - _wide(target).mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


def accuracy_2(prediction: Numbers, target: Numbers, convention: str = "nonzero") -> float:
    """ACC2: share of samples whose sentiment's sign is predicted.

    Args:
        prediction: Sentiment.
        target: Sentiment.
        convention: `nonzero` (DiCMoR, IMDer, GMC): samples whose target is exactly 0 are left out,
            positive is > 0, so that a prediction of 0 is negative. `has_zero`: all samples,
            positive is >= 0.

    Returns:
        The share; NaN where no sample is left.

    Raises:
        ValueError: An unknown convention, no samples, different numbers of them, or values that
            are not finite.
    """
    signs = _signs(prediction, target, convention)
    return accuracy(*signs) if len(signs[0]) else float("nan")


def f1_2(prediction: Numbers, target: Numbers, convention: str = "nonzero") -> float:
    """Weighted F1 of the two signs of sentiment, see `accuracy_2`."""
    signs = _signs(prediction, target, convention)
    return f1(*signs) if len(signs[0]) else float("nan")


def accuracy_7(prediction: Numbers, target: Numbers) -> float:
    """ACC7: share of samples whose sentiment is right as one of -3, -2 … 3.

    Both are clipped to [-3, 3] and rounded, halves to the even number.

    Raises:
        ValueError: No samples, different numbers of them, or values that are not finite.

    Example:
        >>> accuracy_7(np.array([0.5, 9.0, 1.5]), np.array([0.0, 3.0, 1.0]))
        0.666...
    """
    _check(prediction, target)
    rounded = (np.round(np.clip(x, -3, 3)) for x in (prediction, target))
    return float(np.equal(*rounded).mean())


def regression_scores(
    prediction: Float[NDArray[np.floating], "samples outputs"],
    target: Float[NDArray[np.floating], "samples outputs"],
    sentiment: bool = False,
) -> dict[str, float]:
    """All scores by name; of several outputs the mean over these.

    Args:
        prediction: Numbers.
        target: Numbers.
        sentiment: Whether ACC2, its F1 and ACC7 are among them.

    Raises:
        ValueError: No samples, different numbers of them, or values that are not finite.
    """
    outputs = list(zip(prediction.T, target.T, strict=True))
    measures = {"mae": mean_absolute_error, "pearson": pearson}
    scores = {name: float(np.mean([m(p, t) for p, t in outputs])) for name, m in measures.items()}
    if sentiment:
        (one,) = outputs
        for convention in CONVENTIONS:
            scores[f"acc2_{convention}"] = accuracy_2(*one, convention)
            scores[f"f1_{convention}"] = f1_2(*one, convention)
        scores["acc7"] = accuracy_7(*one)
    return scores


def _signs(
    prediction: Numbers, target: Numbers, convention: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    _check(prediction, target)
    if convention == "nonzero":
        kept = target != 0
        return (prediction[kept] > 0).astype(np.intp), (target[kept] > 0).astype(np.intp)
    if convention == "has_zero":
        return (prediction >= 0).astype(np.intp), (target >= 0).astype(np.intp)
    raise ValueError(f"unknown convention {convention!r}; known: {', '.join(CONVENTIONS)}")


def _wide(values: Numbers) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _check(prediction: Numbers, target: Numbers) -> None:
    if prediction.shape != target.shape or len(target) == 0:
        raise ValueError(
            f"expected as many predictions as targets, at least one: {prediction.shape} and "
            f"{target.shape}"
        )
    if bad := int((~np.isfinite(prediction) | ~np.isfinite(target)).sum()):
        raise ValueError(f"{bad} predictions or targets are NaN or infinite")
