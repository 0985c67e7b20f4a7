"""Scores of predicted labels, of which a sample can have several (MM-IMDb's genres)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl.metrics.classification import check_pairs


def label_scores(
    logits: Float[NDArray[np.floating], "samples labels"],
    target: Bool[NDArray[np.bool_], "samples labels"],
) -> dict[str, float]:
    """All scores by name; labels whose logit is positive are predicted.

    F1 is 2 hits / (predicted + true), and 0 where neither occurs: a mean over labels, `f1_weighted`
    by how often each is true or all alike (`f1_macro`), one of all labels of all samples
    (`f1_micro`), or a mean over samples, each with the F1 of its own labels (`f1_samples`).
    `mean_ap` is the mean average precision of the labels that are ever true; NaN where none is.

    Raises:
        ValueError: Logits that are not finite, no samples, or shapes that differ.

    Example:
        >>> target = np.array([[True, False], [True, True]])
        >>> label_scores(np.ones((2, 2)), target)["f1_samples"]
        0.833...
    """
    from sklearn.metrics import average_precision_score

    check_pairs(logits, target)
    if bad := int((~np.isfinite(logits)).any(axis=1).sum()):
        raise ValueError(f"{bad} predictions are NaN or infinite")
    # Not scikit-learn's F1, which takes a single label for two classes.
    whole, by_label, by_sample = (_f1(logits > 0, target, axis) for axis in (None, 0, 1))
    true = target.sum(axis=0)
    occurs = true > 0
    precision = (
        average_precision_score(target[:, occurs], logits[:, occurs]) if any(occurs) else np.nan
    )
    return {
        "f1_weighted": float((by_label * true).sum() / max(true.sum(), 1)),
        "f1_macro": float(by_label.mean()),
        "f1_micro": float(whole),
        "mean_ap": float(precision),
        "f1_samples": float(by_sample.mean()),
    }


def _f1(
    prediction: NDArray[np.bool_], target: NDArray[np.bool_], axis: int | None
) -> NDArray[np.float64]:
    hit = (prediction & target).sum(axis=axis)
    return np.asarray(2 * hit / np.maximum(prediction.sum(axis=axis) + target.sum(axis=axis), 1))
