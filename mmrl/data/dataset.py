"""A data set for classification or regression: three splits of the same modalities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData
from mmrl.modality import Modality

SPLITS = ("train", "valid", "test")
SENTIMENT = "sentiment"
"""Name of the target of CMU-MOSI and MOSEI, which has scores of its own."""
MOST_CLASSES = 10_000
"""Class indices beyond this, and beyond the number of samples, are taken for other numbers."""
TASKS = {"i": "classes", "u": "classes", "b": "labels", "f": "numbers"}
"""What targets are, by kind of their type."""


class DataError(ValueError):
    """Data that are missing, damaged or not laid out as they have to be."""


@dataclass(frozen=True)
class DataSet:
    """Training, validation and test samples.

    Args:
        name: What the set is called in tables.
        train: What methods learn from.
        valid: What stops them.
        test: What they are scored on.
        target_names: Names of the classes where targets are class indices, of the labels, or of
            the outputs where targets are numbers.

    Raises:
        DataError: The splits differ in modalities or kind of target, one has no targets, or class
            indices and names do not fit.
    """

    name: str
    train: ArrayData
    valid: ArrayData
    test: ArrayData
    target_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for split in SPLITS:
            data = self[split]
            if data.modalities != self.train.modalities:
                raise DataError(
                    f"{self.name}: split {split!r} has the modalities {data.modalities}, train "
                    f"has {self.train.modalities}"
                )
            check_target(f"{self.name}/{split}", data.target)
            assert data.target is not None
            assert self.train.target is not None
            check_same_task(f"{self.name}: ", split, data.target, self.train.target)
            self._check_outputs(split, count_outputs(data.target))

    def _check_outputs(self, split: str, outputs: int) -> None:
        if self.task != "classes" and outputs != self.outputs:
            raise DataError(
                f"{self.name}/{split} has {outputs} targets per sample, but there are "
                f"{self.outputs} target names"
            )
        if outputs > self.outputs:
            raise DataError(
                f"{self.name}/{split} has class {outputs - 1}, but there are only {self.outputs} "
                "class names"
            )

    def __getitem__(self, split: str) -> ArrayData:
        if split not in SPLITS:
            raise KeyError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
        data: ArrayData = getattr(self, split)
        return data

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What a sample consists of."""
        return self.train.modalities

    @property
    def task(self) -> str:
        """What is predicted: `classes`, one index per sample; `labels`, several; or `numbers`."""
        assert self.train.target is not None
        return TASKS[self.train.target.dtype.kind]

    @property
    def outputs(self) -> int:
        """How many values a method predicts: classes, labels, or numbers."""
        return len(self.target_names)

    def with_available(self, available: dict[str, NDArray[np.bool_]]) -> DataSet:
        """The same samples with less available: masks (samples, modalities) by split."""
        masked = {split: self[split].masked(mask) for split, mask in available.items()}
        return replace(self, **masked)  # type: ignore[arg-type]  # splits by name


def check_target(where: str, target: NDArray[Any] | None) -> None:
    """Refuses targets that are no class indices (samples,), labels or numbers (samples, outputs).

    Raises:
        DataError: Saying which of them is wrong.
    """
    if target is None:
        raise DataError(f"{where} has no targets")
    if target.dtype.kind in "fb":
        if target.ndim != 2 or target.shape[1] < 1:
            raise DataError(
                f"{where}: numbers and labels must be (samples, outputs), got {target.shape}"
            )
        if not np.isfinite(target).all():
            rows = np.flatnonzero(~np.isfinite(target).all(axis=1))
            raise DataError(f"{where}: the targets of samples {rows[:5].tolist()} are NaN or inf")
    elif target.dtype.kind in "iu":
        if target.ndim != 1:
            raise DataError(
                f"{where}: class indices must be (samples,), labels 0 and 1 in several columns or "
                f"booleans, got whole numbers of shape {target.shape}"
            )
        if len(target) and int(target.min()) < 0:
            raise DataError(f"{where}: class indices count from 0, got {int(target.min())}")
        if int(target.max(initial=0)) > MOST_CLASSES + len(target):
            raise DataError(
                f"{where}: class {int(target.max())} in {len(target)} samples: classes count from "
                "0 without gaps; np.unique(numbers, return_inverse=True) makes such of any numbers"
            )
    else:
        raise DataError(
            f"{where}: targets must be whole numbers (classes), boolean (labels) or floating, "
            f"got {target.dtype}; np.unique(names, return_inverse=True) makes classes of names"
        )


def check_same_task(where: str, split: str, target: NDArray[Any], train: NDArray[Any]) -> None:
    """Refuses a split whose targets are of another kind than those of training.

    Raises:
        DataError: They are; both kinds are named.
    """
    found, expected = TASKS[target.dtype.kind], TASKS[train.dtype.kind]
    if found != expected:
        raise DataError(f"{where}targets are {found} in {split} and {expected} in train")


def count_outputs(target: NDArray[Any] | None) -> int:
    """Classes up to the greatest index, or labels or numbers per sample."""
    assert target is not None
    return target.shape[1] if target.ndim == 2 else int(target.max(initial=0)) + 1
