"""Random streams of faults, and the choice of channels that are spared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrl_envs.faults.mechanisms import Floats, Rows

FAULT_STREAM = 0xFA017
"""Spawn key of the faults' random streams below the seed of an environment."""
TIMES, VALUES = 0, 1
"""Second part of a stream's key: when a fault strikes, and what it does to values."""
SPARING: tuple[int, ...] = ()
"""Key of the stream that chooses what is spared; others begin with the number of a fault."""


class Stream:
    """A random stream in which every episode has its own place.

    So what happens in an episode depends on the seed and on the number of the episode, not on how
    long the episodes before it were.
    """

    def __init__(self, seed: int | None, *key: int) -> None:
        bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(FAULT_STREAM, *key)))
        self._bits, self._origin = bits, bits.state
        self.generator = np.random.Generator(bits)

    def seek(self, episode: int) -> None:
        """Go to the place of an episode: 2^64 numbers for each."""
        self._bits.state = self._origin
        self._bits.advance(episode << 64)


class Sparing:
    """Keeps some channels available when faults would take too many.

    Which ones is drawn when this becomes necessary and stays while it lasts, so that sensors do not
    flicker.

    Args:
        channels: Number of channels.
        count: Number of environments.
        keep_at_least: Number of channels that stay available.
    """

    def __init__(self, channels: int, count: int, keep_at_least: int) -> None:
        self._keep, self._allowed = keep_at_least, channels - keep_at_least
        self._indices = np.arange(count)
        self._active = np.zeros(count, np.bool_)
        self._held = np.zeros((channels, count))

    def end(self, rows: Rows) -> None:
        """Forget what was spared, at the end of an episode."""
        self._active[rows] = False

    def spare(self, missing: NDArray[np.bool_], priority: Floats, rows: Rows) -> None:
        """Make channels available in place.

        Args:
            missing: Where channels are missing, shape (steps, channels, m), the steps following
                those of the last call.
            priority: Random numbers, same shape; the channels with the highest are spared.
            rows: Which environments these are.
        """
        excess = missing.sum(axis=1, dtype=np.int64) - self._allowed
        short = excess > 0
        before = np.concatenate([self._active[rows][None], short[:-1]])
        step = np.arange(len(short))[:, None]
        begin = np.maximum.accumulate(np.where(short & ~before, step, -1), axis=0)
        steps, places = np.nonzero(short)
        since = begin[steps, places]
        earlier = self._held[:, rows].T[places]
        held = np.where(since[:, None] < 0, earlier, priority[np.maximum(since, 0), :, places])
        lost = missing[steps, :, places]
        for spared in range(self._keep):
            best = np.where(lost, held, -1.0).argmax(axis=1)
            lost[np.arange(len(lost)), best] &= excess[steps, places] <= spared
        missing[steps, :, places] = lost
        self._active[rows] = short[-1]
        latest = steps == len(short) - 1
        self._held[:, self._indices[rows][places[latest]]] = held[latest].T
