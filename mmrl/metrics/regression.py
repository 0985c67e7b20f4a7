"""Scores of predicted numbers, among them those of sentiment in [-3, 3] (CMU-MOSI and MOSEI)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from mmrl.metrics.classification import check_pairs, class_scores

Numbers = Float[NDArray[np.floating], " samples"]


def regression_scores(
    prediction: Float[NDArray[np.floating], "samples outputs"],
    target: Float[NDArray[np.floating], "samples outputs"],
    sentiment: bool = False,
) -> dict[str, float]:
    """All scores by name; of several outputs the mean over these.

    `mae` is the mean absolute error, `pearson` the correlation: 0 where either is constant, which
    predicts nothing.

    Args:
        prediction: Predicted numbers.
        target: True numbers.
        sentiment: Whether those of `sentiment_scores` are among them.

    Raises:
        ValueError: No samples, different numbers of them, or values that are not finite.
    """
    check_pairs(prediction, target)
    if bad := int((~np.isfinite(prediction) | ~np.isfinite(target)).sum()):
        raise ValueError(f"{bad} predictions or targets are NaN or infinite")
    x, y = prediction.astype(np.float64), target.astype(np.float64)
    correlations = [_pearson(*pair) for pair in zip(x.T, y.T, strict=True)]
    scores = {"mae": float(np.abs(x - y).mean()), "pearson": float(np.mean(correlations))}
    return scores | (sentiment_scores(x[:, 0], y[:, 0]) if sentiment else {})


def sentiment_scores(prediction: Numbers, target: Numbers) -> dict[str, float]:
    """ACC2 and its weighted F1 by two conventions, and ACC7.

    `acc2_nonzero`, `f1_nonzero` (DiCMoR, IMDer, GMC): samples whose target is exactly 0 are left
    out (NaN where none is left), and positive is > 0, so that a prediction of 0 is negative.
    `acc2_has_zero`, `f1_has_zero`: all samples, and positive is >= 0. `acc7`: share of samples that
    are right as one of -3, -2 … 3, both clipped to that and rounded, halves to the even number.

    Args:
        prediction: Predicted sentiment.
        target: True sentiment.

    Example:
        >>> sentiment_scores(np.array([0.5, 9.0, 1.5]), np.array([0.0, 3.0, 1.0]))["acc7"]
        0.666...
    """
    kept = target != 0
    signs = {
        "nonzero": (prediction[kept] > 0, target[kept] > 0),
        "has_zero": (prediction >= 0, target >= 0),
    }
    found = {}
    for convention, (x, y) in signs.items():
        scores = class_scores(x.astype(np.intp), y.astype(np.intp)) if len(y) else {}
        found[f"acc2_{convention}"] = scores.get("accuracy", np.nan)
        found[f"f1_{convention}"] = scores.get("f1_weighted", np.nan)
    rounded = (np.round(np.clip(values, -3, 3)) for values in (prediction, target))
    return found | {"acc7": float(np.equal(*rounded).mean())}


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else 0.0
