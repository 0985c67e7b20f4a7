"""Cutting a validation or test split: stratified by class, or by labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData
from mmrl.data.dataset import SPLITS, DataError


def split_off(
    target: NDArray[Any], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that stay and rows of a validation split, stratified by class or label.

    Args:
        target: Class indices (samples,) or labels (samples, labels), boolean; with numbers, all
            samples are one stratum.
        share: Share of every class, in (0, 1); of a class of two or more samples at least one goes
            and at least one stays. Of labels, which cannot be counted apart, about that share of
            each.
        rng: Draws the rows.

    Returns:
        Rows that stay and rows that go, each rising.

    Raises:
        DataError: The share is no share, or nothing would be left on one side.

    Example:
        >>> stay, go = split_off(np.array([0, 0, 1, 1]), 0.5, np.random.default_rng(0))
        >>> len(stay), len(go)
        (2, 2)
    """
    if not 0 < share < 1:
        raise DataError(f"the share of the validation split must be in (0, 1), got {share}")
    if target.dtype.kind == "b":
        gone = _by_labels(target, share, rng)
    else:
        gone = _by_class(target, share, rng)
    if gone.all() or not gone.any():
        raise DataError(f"{len(target)} samples cannot be split into training and validation")
    return np.flatnonzero(~gone), np.flatnonzero(gone)


def split_train(train: ArrayData, share: float, seed: int) -> tuple[ArrayData, ArrayData]:
    """Training and validation samples, see `split_off`.

    Raises:
        DataError: The share is no share, or nothing would be left on one side.
    """
    assert train.target is not None
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index("valid")]))
    stay, go = split_off(train.target, share, rng)
    return train.subset(stay), train.subset(go)


def _by_class(
    target: NDArray[Any], share: float, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], " samples"]:
    strata = target if target.dtype.kind in "iu" else np.zeros(len(target), int)
    gone = np.zeros(len(target), bool)
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        take = int(np.clip(round(share * len(rows)), min(1, len(rows) - 1), max(len(rows) - 1, 0)))
        gone[rows[:take]] = True
    return gone


def _by_labels(
    target: Bool[NDArray[np.bool_], "samples labels"], share: float, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], " samples"]:
    """Iterative stratification into two parts.

    Sechidis, Tsoumakas, Vlahavas: "On the stratification of multi-label data", ECML PKDD 2011:
    the samples of the rarest label are dealt out first, each to the part that still wants most of
    it, then those of the label that is rarest among what is left.
    """
    shares = np.array([1 - share, share])
    wanted = shares[:, None] * target.sum(axis=0)
    samples = shares * len(target)
    part = np.full(len(target), -1)
    while (left := target & (part < 0)[:, None]).any():
        counts = left.sum(axis=0)
        label = int(np.where(counts > 0, counts, len(target) + 1).argmin())
        for row in rng.permutation(np.flatnonzero(left[:, label])).tolist():
            # Of what is wanted alike, the part that wants more samples; then the first.
            part[row] = max((0, 1), key=lambda p: (wanted[p, label], samples[p]))
            wanted[part[row]] -= target[row]
            samples[part[row]] -= 1
    rest = rng.permutation(np.flatnonzero(part < 0))
    take = int(np.clip(round(samples[1]), 0, len(rest)))
    part[rest[:take]] = 1
    return np.asarray(part == 1)
