"""Sequences of different lengths, stored end to end and padded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Sequences:
    """Sequences of different lengths in one array, read as arrays of one length.

    Reading rows gives `(rows, steps, *features)`: shorter sequences are followed by zeros, of
    longer ones the first `steps` are taken.

    Args:
        values: All steps of all samples, one after the other: (all steps, *features).
        offsets: Where each sample starts, and where the last ends: (samples + 1,), from 0, never
            falling.
        steps: Length that is read; None for that of the longest sample.

    Raises:
        ValueError: Offsets that do not fit the values, or `steps` below 1.

    Example:
        >>> pens = Sequences(np.array([[1.0], [2.0], [3.0]]), np.array([0, 2, 3]))
        >>> pens[np.array([1, 0])][..., 0].tolist()
        [[3.0, 0.0], [1.0, 2.0]]
    """

    def __init__(
        self, values: NDArray[Any], offsets: NDArray[Any], steps: int | None = None
    ) -> None:
        if offsets.ndim != 1 or len(offsets) < 1 or offsets.dtype.kind not in "iu":
            raise ValueError(
                f"offsets must be whole numbers of shape (samples + 1,), got {offsets.dtype} "
                f"of shape {offsets.shape}"
            )
        if values.ndim < 1:
            raise ValueError("values must have a first axis of steps, got a single number")
        offsets = offsets.astype(np.int64)
        lengths = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != len(values) or (lengths < 0).any():
            raise ValueError(
                f"offsets must rise from 0 to the number of steps, {len(values)}; they go from "
                f"{offsets[0]} to {offsets[-1]}"
                + (" and fall in between" if (lengths < 0).any() else "")
            )
        longest = int(lengths.max(initial=0))
        self.steps = max(longest, 1) if steps is None else steps
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.values = values
        self.offsets = offsets
        self.shape = (len(lengths), self.steps, *values.shape[1:])
        self.dtype = values.dtype

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each sample, before padding."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Memory that values and offsets take."""
        return self.values.nbytes + self.offsets.nbytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: NDArray[Any] | slice) -> NDArray[Any]:
        starts, ends = self.offsets[:-1][rows], self.offsets[1:][rows]
        steps = np.arange(self.steps)
        positions = starts[:, None] + steps
        inside = positions < ends[:, None]
        if len(self.values) == 0:
            return np.zeros((len(starts), *self.shape[1:]), self.dtype)
        # Positions past the end read some other sample's steps, which are then zeroed.
        padded: NDArray[Any] = self.values[np.minimum(positions, len(self.values) - 1)]
        padded[~inside] = 0
        return padded

    def steps_of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """What is read of some samples, one after the other and without padding."""
        positions = self.offsets[:-1][rows][:, None] + np.arange(self.steps)
        found: NDArray[Any] = self.values[positions[positions < self.offsets[1:][rows][:, None]]]
        return found

    def take(self, rows: NDArray[Any]) -> Sequences:
        """The sequences of some samples, unpadded and of the same reading length."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Sequences(self.values[np.arange(offsets[-1]) + shift], offsets, self.steps)

    def with_steps(self, steps: int) -> Sequences:
        """The same sequences, read at another length."""
        return Sequences(self.values, self.offsets, steps)

    def resampled(self, steps: int) -> NDArray[np.float32]:
        """Every sequence stretched or shrunk to `steps` by linear interpolation in time.

        For measurements of one action each, where the course matters and not the duration. Empty
        sequences, and steps next to NaN, become NaN.
        """
        lengths = self.lengths
        time = np.linspace(0, 1, steps) * np.maximum(lengths - 1, 0)[:, None]
        before = np.floor(time).astype(np.int64)
        after = np.minimum(before + 1, np.maximum(lengths - 1, 0)[:, None])
        weight = (time - before).reshape(*time.shape, *[1] * (self.values.ndim - 1))
        first = self.offsets[:-1, None]
        source = np.concatenate([self.values, np.full((1, *self.values.shape[1:]), np.nan)])
        empty = (lengths == 0)[:, None]
        low = source[np.where(empty, len(self.values), first + before)]
        high = source[np.where(empty, len(self.values), first + after)]
        return (low * (1 - weight) + high * weight).astype(np.float32)

    def samples_with(self, steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which samples have, in what is read of them, any of the steps that a mask marks."""
        found = np.flatnonzero(steps)
        samples = np.searchsorted(self.offsets, found, side="right") - 1
        present = np.zeros(len(self), bool)
        present[samples[found - self.offsets[samples] < self.steps]] = True
        return present

    @staticmethod
    def concatenate(parts: Sequence[Sequences]) -> Sequences:
        """The samples of several, read at the greatest of their lengths."""
        lengths = np.concatenate([part.lengths for part in parts])
        values = np.concatenate([part.values for part in parts])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Sequences(values, offsets, max(part.steps for part in parts))
