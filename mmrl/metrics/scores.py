"""Scores of predictions from every subset of modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmrl.data.arrays import ArrayData
from mmrl.data.dataset import SENTIMENT
from mmrl.metrics.classification import classification_scores
from mmrl.metrics.labels import label_scores
from mmrl.metrics.regression import regression_scores
from mmrl.subsets import subsets

BATCH = 256

Predict = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""From raw values and the mask to logits (samples, classes or labels) or numbers."""


@dataclass(frozen=True)
class Score:
    """One number.

    Attributes:
        subset: The modalities that could be seen, `image+sound`.
        metric: Its name.
        value: The number.
    """

    subset: str
    metric: str
    value: float


def scores(
    prediction: NDArray[np.floating], target: NDArray[Any], names: Sequence[str] = ()
) -> dict[str, float]:
    """The scores that fit the target: of classes, of labels (boolean) or of numbers.

    Args:
        prediction: Logits (samples, classes or labels), or numbers (samples, outputs).
        target: Class indices (samples,), labels (samples, labels), or numbers (samples, outputs).
        names: Names of the outputs; one named `sentiment` has the scores of sentiment too.

    Raises:
        ValueError: Predictions that are not finite, or do not fit the targets.
    """
    if target.dtype.kind == "f":
        return regression_scores(prediction, target, tuple(names) == (SENTIMENT,))
    if target.dtype.kind == "b":
        return label_scores(prediction, target)
    return classification_scores(prediction, target.astype(np.int64))


def subset_scores(
    predict: Predict,
    data: ArrayData,
    *,
    names: Sequence[str] = (),
    only: Sequence[Sequence[str]] | None = None,
    device: torch.device | str = "cpu",
    batch: int = BATCH,
) -> list[Score]:
    """Scores for every subset of modalities, on the same samples.

    A modality that a sample lacks stays missing. A sample that has none of a subset counts too:
    what is predicted from nothing is the method's affair.

    Args:
        predict: `Method.predict`, or any function like it; called without gradients.
        data: With targets.
        names: Names of classes, labels or outputs, see `scores`.
        only: These subsets; None for all, `mmrl.subsets.subsets`.
        device: Where the batches go.
        batch: Samples at once.

    Raises:
        ValueError: Data without targets, unknown modalities, or predictions that are not finite.
    """
    known = [m.name for m in data.modalities]
    if data.target is None:
        raise ValueError("these data have no targets to score predictions by")
    found = []
    for subset in subsets(known) if only is None else only:
        if unknown := sorted(set(subset) - set(known)):
            raise ValueError(f"unknown modalities {unknown}; the data have {known}")
        seen = np.isin(known, list(subset))
        prediction = _predict(predict, data, seen, device, batch)
        label = "+".join(name for name in known if name in subset)
        found += [Score(label, m, v) for m, v in scores(prediction, data.target, names).items()]
    return found


def _predict(
    predict: Predict,
    data: ArrayData,
    seen: NDArray[np.bool_],
    device: torch.device | str,
    size: int,
) -> NDArray[np.floating]:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(data), size):
            batch = data.batch(np.arange(start, min(start + size, len(data)))).to(device)
            available = batch.available & torch.from_numpy(seen).to(device)
            parts.append(predict(batch.values, available).float().cpu().numpy())
    return np.concatenate(parts)
