"""Running mean and variance of the channels of an observation, and their file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl_envs.arrays import read_arrays

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MOST = 2**28
"""Bytes that the arrays of a file can have."""


class ChannelStatistics:
    """Mean and variance of each channel, entry by entry, over what it has seen.

    Updates merge batches exactly (Chan, Golub and LeVeque, 1979): the order and the sizes of the
    batches do not matter. NaN and infinity are missing numbers: they are not seen.

    Args:
        shapes: Shape of one value by channel.

    Example:
        >>> statistics = ChannelStatistics({"joints": (2,)})
        >>> statistics.update({"joints": np.array([[1.0, 2.0], [3.0, np.nan], [3.0, 4.0]])})
        >>> statistics.count["joints"], statistics.mean["joints"]
        (array([3, 2]), array([2.33333333, 3.        ]))
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.count = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
        self.mean: dict[str, Floats] = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.variance: dict[str, Floats] = {name: np.ones(shape) for name, shape in shapes.items()}

    def update(self, values: Mapping[str, NDArray[Any]]) -> None:
        """See a batch of values of each channel, shape (batch, *shape)."""
        for name in self.count:
            batch = np.asarray(values[name], dtype=np.float64)
            there = np.isfinite(batch)
            count = np.maximum(there.sum(axis=0), 1)
            mean = np.where(there, batch, 0.0).sum(axis=0) / count
            squares = np.where(there, batch - mean, 0.0) ** 2
            self._merge(name, there.sum(axis=0), mean, squares.sum(axis=0) / count)

    def normalize(
        self, name: str, values: NDArray[Any], *, clip: float, epsilon: float
    ) -> NDArray[np.float32]:
        """Return (values - mean) / sqrt(variance + epsilon) within +-clip; missing ones are NaN."""
        scale = np.sqrt(self.variance[name] + epsilon)
        scaled = (np.asarray(values, dtype=np.float64) - self.mean[name]) / scale
        scaled = np.minimum(np.maximum(scaled, -clip), clip)
        return np.where(np.isfinite(values), scaled, np.nan).astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to an npz file, whole or not at all; missing folders are made."""
        arrays: dict[str, Any] = {}
        for name, count in self.count.items():
            arrays[f"count/{name}"] = count
            arrays[f"mean/{name}"] = self.mean[name]
            arrays[f"variance/{name}"] = self.variance[name]
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ChannelStatistics:
        """Read what `save` has written.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is something else, or damaged.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no statistics of channels at {path}")
        try:
            arrays = read_arrays(path, MOST)
            names = [key.removeprefix("count/") for key in arrays if key.startswith("count/")]
            statistics = cls({name: arrays[f"mean/{name}"].shape for name in names})
            for name in names:
                statistics._fill(name, *(arrays[f"{k}/{name}"] for k in _PARTS))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no statistics of channels ({error})") from error
        return statistics

    def _fill(self, name: str, count: Any, mean: Floats, variance: Floats) -> None:
        finite = np.isfinite(mean).all() and np.isfinite(variance).all()
        positive = np.all(count >= 0) and not (variance < 0).any()
        if variance.shape != mean.shape or not finite or not positive:
            raise ValueError(f"damaged values of {name!r}")
        # Files of earlier releases have one count for all numbers of a channel.
        self.count[name] = np.broadcast_to(np.asarray(count, np.int64), mean.shape).copy()
        self.mean[name], self.variance[name] = mean, variance

    def _merge(self, name: str, count: Counts, mean: Floats, variance: Floats) -> None:
        seen, total = self.count[name], self.count[name] + count
        share = count / np.maximum(total, 1)
        delta = mean - self.mean[name]
        squares = self.variance[name] * seen + variance * count + delta**2 * seen * share
        self.count[name] = total
        self.mean[name] = self.mean[name] + delta * share
        self.variance[name] = np.where(total > 0, squares / np.maximum(total, 1), 1.0)


_PARTS = ("count", "mean", "variance")
