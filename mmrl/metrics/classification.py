"""Scores of predicted classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Classes = Int[NDArray[np.integer], " samples"]


def class_scores(prediction: Classes, target: Classes) -> dict[str, float]:
    """Scores of predicted classes by name.

    `balanced_accuracy` is the mean recall of the classes that occur in the target; F1 is a mean
    over classes that occur at all, `f1_weighted` by their number of samples.

    Raises:
        ValueError: No samples, or different numbers of them.

    Example:
        >>> class_scores(np.array([0, 1, 1]), np.array([0, 1, 2]))["accuracy"]
        0.666...
    """
    # On use: it takes longer to load than all that a training needs.
    from sklearn import metrics

    check_pairs(prediction, target)
    macro = {"average": "macro", "zero_division": 0}
    recall = metrics.recall_score(target, prediction, labels=np.unique(target), **macro)
    weighted = metrics.f1_score(target, prediction, average="weighted", zero_division=0)
    return {
        "accuracy": float(metrics.accuracy_score(target, prediction)),
        "balanced_accuracy": float(recall),
        "f1_weighted": float(weighted),
        "f1_macro": float(metrics.f1_score(target, prediction, **macro)),
    }


def classification_scores(
    logits: Float[NDArray[np.floating], "samples classes"], target: Classes
) -> dict[str, float]:
    """`class_scores` of the greatest logit as the prediction.

    Raises:
        ValueError: Logits that are NaN, no samples, or different numbers of them.

    Example:
        >>> classification_scores(np.eye(3), np.arange(3))["f1_macro"]
        1.0
    """
    if bad := int(np.isnan(logits).any(axis=1).sum()):
        raise ValueError(f"{bad} predictions are NaN")
    return class_scores(logits.argmax(axis=1), target)


def check_pairs(prediction: NDArray[np.generic], target: NDArray[np.generic]) -> None:
    """Refuses predictions that are not as many as targets.

    Raises:
        ValueError: No samples, or shapes that differ.
    """
    if prediction.shape != target.shape or len(target) == 0:
        raise ValueError(
            f"expected as many predictions as targets, at least one: {prediction.shape} and "
            f"{target.shape}"
        )
