"""What is suspicious about the values of a data file: gaps, ids, and what only the test shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmrl.data.arrays import ArrayData
from mmrl.data.sequences import Sequences
from mmrl.modality import Modality, measured
from mmrl.nn.standardize import CLIP, Standardize

CHUNK = 1024
MANY_IDS = 1000
"""Whole numbers up to here and beyond may be those of words in a vocabulary."""
OFTEN = 0.01
"""Share of a feature's readings in the test that may lie beyond `CLIP`."""
SHOWN = 5
FAR = 5.0
"""Times by which targets may differ from mean 0 and standard deviation 1."""


@dataclass(frozen=True)
class Gaps:
    """What is missing of a modality where it is there.

    Attributes:
        numbers: Share of its numbers.
        samples: Share of the samples that lack some.
        infinite: Share of the samples that have infinity, or what no instrument measures.
    """

    numbers: float
    samples: float
    infinite: float


def find_gaps(data: ArrayData, place: int) -> Gaps:
    """Counts numbers that are missing, of the modality at a place."""
    modality = data.modalities[place]
    column = data.values[modality.name]
    rows = np.flatnonzero(data.available[:, place])
    missing = some = infinite = 0
    for start in range(0, len(rows), CHUNK):
        part = torch.from_numpy(np.array(column[rows[start : start + CHUNK]]))
        if (there := measured(part, modality)) is None:
            return Gaps(0.0, 0.0, 0.0)
        gone = ~there.flatten(1)
        missing += int(gone.sum())
        some += int(gone.any(dim=1).sum())
        infinite += int((gone & ~part.flatten(1).isnan()).any(dim=1).sum())
    steps = int(np.prod(modality.shape)) * len(rows)
    if isinstance(column, Sequences):
        read = np.minimum(column.lengths[rows], column.steps).sum()
        steps = int(read) * int(np.prod(modality.shape[1:]))
    count = max(1, len(rows))
    return Gaps(missing / max(1, steps), some / count, infinite / count)


def odd_values(splits: dict[str, ArrayData]) -> list[str]:
    """One sentence for each thing about the values that is probably not meant."""
    train = splits["train"]
    found = []
    for split, data in splits.items():
        found += _infinite(split, data)
    for place, modality in enumerate(train.modalities):
        found += _ids(train, modality)
        for split, data in splits.items():
            if split != "train" and data.available[:, place].any():
                found += _cut(split, data, train, modality)
                if train.available[:, place].any() and modality.kind not in ("image", "label"):
                    found += _moving(split, data, train, modality)
    whole = train.available.all(axis=1)
    if len(train.modalities) > 1 and len(train) and not whole.any():
        found.append(
            "no sample of train has every modality: methods that learn from complete samples (gmc) "
            "have none, and no method sees modalities together"
        )
    return found


def _infinite(split: str, data: ArrayData) -> list[str]:
    found = []
    for place, modality in enumerate(data.modalities):
        gaps = find_gaps(data, place)
        if gaps.infinite:
            found.append(
                f"{split}: {modality.name} has infinite numbers (or beyond 1e30) in "
                f"{gaps.infinite:.1%} of the samples; {gaps.numbers:.1%} of its numbers count as "
                "missing: is a logarithm of 0 or a driver's 'no reading' meant?"
            )
    return found


def _ids(train: ArrayData, modality: Modality) -> list[str]:
    column = train.values[modality.name]
    if column.dtype.kind not in "iu" or column.dtype.itemsize < 2 or modality.size < 2:
        return []
    parts = [part for part in train.readings(modality.name) if part.numel()]
    low, high = (min(int(p.min()) for p in parts), max(int(p.max()) for p in parts))
    if low < 0 or high < MANY_IDS:
        return []
    sentence = (
        f"{modality.name} holds whole numbers from {low} to {high}, which are taken for "
        "measurements: if they are ids of tokens, store embeddings of them"
    )
    return [sentence]


def _cut(split: str, data: ArrayData, train: ArrayData, modality: Modality) -> list[str]:
    column, known = data.values[modality.name], train.values[modality.name]
    if not (isinstance(column, Sequences) and isinstance(known, Sequences)):
        return []
    if not (longer := int((column.lengths > column.steps).sum())):
        return []
    sentence = (
        f"{longer} of {len(data)} sequences of {modality.name} in {split} are longer than "
        f"{column.steps} steps, the longest of train, and are cut there (set steps, or resample)"
    )
    return [sentence]


def _moving(split: str, data: ArrayData, train: ArrayData, modality: Modality) -> list[str]:
    """Features that move in the test as they never did in training."""
    low, high = _range(train, modality)
    scaling = Standardize(modality, clip=None)
    scaling.estimate(train.readings(modality.name))
    mean, std = (_features(x[None], modality)[0].double() for x in (scaling.mean, scaling.std))
    odd, count = torch.zeros_like(mean), torch.zeros_like(mean)
    for part in data.readings(modality.name):
        x = _features(part, modality).double()
        there = x.isfinite()
        still = (low == high) & (x != low)
        beyond = ((x - mean) / std).abs() > CLIP
        odd += (there & torch.where(low == high, still, beyond)).sum(dim=0)
        count += there.sum(dim=0)
    places = np.flatnonzero((odd > OFTEN * count).numpy())
    if not len(places):
        return []
    listed = ", ".join(map(str, places[:SHOWN])) + (" …" if len(places) > SHOWN else "")
    sentence = (
        f"{len(places)} of {len(mean)} numbers of {modality.name} hardly move in train and do in "
        f"{split} (more than {CLIP:g} standard deviations, or from a constant): {listed}"
    )
    return [sentence]


def _range(data: ArrayData, modality: Modality) -> tuple[Tensor, Tensor]:
    lows, highs = [], []
    for part in data.readings(modality.name):
        x = _features(part, modality).double()
        lows.append(x.nan_to_num(torch.inf, torch.inf, torch.inf).amin(dim=0))
        highs.append(x.nan_to_num(-torch.inf, -torch.inf, -torch.inf).amax(dim=0))
    return torch.stack(lows).amin(dim=0), torch.stack(highs).amax(dim=0)


def _features(part: Tensor, modality: Modality) -> Tensor:
    """Readings as (rows, features); the steps of sequences are rows."""
    width = modality.size // modality.shape[0] if modality.kind == "sequence" else modality.size
    return part.reshape(-1, width)


def odd_targets(target: NDArray[np.generic]) -> list[str]:
    """What is suspicious about labels or numbers of the training split."""
    one_hot = target.ndim == 2 and target.dtype.kind == "b" and len(target) > 0
    if one_hot and bool((target.sum(axis=1) == 1).all()):
        sentence = (
            "every sample of train has exactly one label: if these are classes, one-hot, store "
            "their indices: target.argmax(axis=1)"
        )
        return [sentence]
    if target.dtype.kind != "f" or len(target) < 2:
        return []
    values = np.asarray(target, np.float64)
    mean, std = values.mean(axis=0), values.std(axis=0)
    far = (std > 0) & ((std > FAR) | (std < 1 / FAR) | (np.abs(mean) > FAR * std))
    sentences = (
        f"targets are far from standard (output {i} has mean {mean[i]:.3g} and standard deviation "
        f"{std[i]:.3g}), but networks begin near 0 and learn numbers of about 1 best: store "
        "(target - mean) / std of train, and undo it in what is predicted"
        for i in np.flatnonzero(far)
    )
    return list(sentences)[:1]
