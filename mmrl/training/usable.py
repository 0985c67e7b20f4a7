"""Which samples a method can learn from, and whether they are enough."""

from __future__ import annotations

import numpy as np

from mmrl.data.arrays import ArrayData
from mmrl.methods.method import Method
from mmrl.settings import ConfigError


def learnable(method: type[Method], data: ArrayData) -> ArrayData:
    """The samples from which a method learns: all of them, or those that lack nothing.

    Args:
        method: Whose `learns_from_incomplete` decides.
        data: What there is to learn from.
    """
    if method.learns_from_incomplete or data.available.all():
        return data
    return data.subset(np.flatnonzero(data.available.all(axis=1)))


def check_enough(
    method: type[Method], train: ArrayData, part: str, batch_size: int, other: str = ""
) -> None:
    """Whether the samples from which a method learns fill a batch.

    Args:
        method: Which learns.
        train: What there is to learn from.
        part: The group of settings with the batch size.
        batch_size: Its value.
        other: What else can be done where many samples are incomplete.

    Raises:
        ConfigError: They do not.
    """
    usable = len(learnable(method, train))
    if usable >= batch_size:
        return
    which = "samples" if method.learns_from_incomplete else "complete samples"
    lacking = ", ".join(f"{name} {share:.0%}" for name, share in missing_shares(train).items())
    raise ConfigError(
        f"{method.name} learns from {which}, of which there are {usable} (of {len(train)} in "
        f"training{f'; missing: {lacking}' if lacking else ''}): fewer than "
        f"{part}.batch_size={batch_size}. Lower that"
        + ("" if method.learns_from_incomplete else other)
    )


def missing_shares(data: ArrayData) -> dict[str, float]:
    """The share of samples in which each modality is missing, of those that are at all."""
    shares = 1.0 - data.available.mean(axis=0)
    found = zip((m.name for m in data.modalities), shares.tolist(), strict=True)
    return {name: share for name, share in found if share}
