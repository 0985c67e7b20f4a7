"""Faults of sensors whose channels hold their last frames: each frame fails when it is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.faults.fault import Fault
from mmrl_envs.faults.mechanisms import Rows, Values
from mmrl_envs.faults.process import EVERYWHERE, MISSING, Bools, FaultProcess
from mmrl_envs.readings import NO_READING
from mmrl_envs.wrappers.stacked import Stacked, fill_gaps


class FramewiseProcess:
    """A :class:`~mmrl_envs.faults.process.FaultProcess` that acts before frames are stacked.

    The newest frame of every stacked channel is what fails; the stack is made again of what has
    arrived. With no faults it is the environment's.

    Args:
        faults: What fails, see `FaultProcess`.
        channels: Those that are `Stacked` hold frames; the others fail as they are.
        count: Number of environments.
        keep_at_least: How many channels announced faults spare at any time.
        copy: Whether arrays that come in are left as they are.
        partial: What a reading is in which some numbers are missing, see `FaultProcess`.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        channels: Mapping[str, spaces.Space[Any]],
        count: int,
        *,
        keep_at_least: int = 1,
        copy: bool = True,
        partial: str = MISSING,
    ) -> None:
        self._stacked = {n: space for n, space in channels.items() if isinstance(space, Stacked)}
        single = {
            name: self._stacked[name].frame if name in self._stacked else space
            for name, space in channels.items()
        }
        self._process = FaultProcess(
            faults, single, count, keep_at_least=keep_at_least, copy=copy, partial=partial
        )
        self._whole = partial == MISSING
        self._columns = {name: list(channels).index(name) for name in self._stacked}
        self._held = {
            name: np.zeros((count, space.frames, *space.frame.shape), space.dtype)
            for name, space in self._stacked.items()
        }
        self._arrived = {
            name: np.zeros((count, space.frames), np.bool_) for name, space in self._stacked.items()
        }
        self._first = np.ones(count, np.bool_)

    def restart(self, chosen: NDArray[np.int64], seeds: Sequence[int | None] | None = None) -> None:
        """See `FaultProcess.restart`."""
        self._process.restart(chosen, seeds)
        self._first[chosen] = True

    def advance(self) -> None:
        """See `FaultProcess.advance`."""
        self._process.advance()

    def apply(
        self,
        observation: Mapping[str, Values],
        rows: Rows = EVERYWHERE,
        lost: Bools | None = None,
    ) -> tuple[dict[str, Values], NDArray[np.int8], Bools]:
        """See `FaultProcess.apply`."""
        if not self._stacked:
            return self._process.apply(observation, rows, lost)
        stacks = {name: space.split(observation[name]) for name, space in self._stacked.items()}
        newest = {name: stack[:, -1] for name, stack in stacks.items()}
        values, available, faulty = self._process.apply({**observation, **newest}, rows, lost)
        for name, stack in stacks.items():
            up = available[:, self._columns[name]] > 0
            frames = self._push(name, stack, values[name], up, rows)
            values[name] = self._stacked[name].join(frames)
        self._first[rows] = False
        return values, available, faulty

    def rates(self, rows: Rows = EVERYWHERE) -> NDArray[np.float64]:
        """See `FaultProcess.rates`."""
        return self._process.rates(rows)

    def _push(self, name: str, stack: Values, newest: Values, up: Bools, rows: Rows) -> Values:
        """Return the frames that have arrived by now, zeros where the newest has not."""
        held, arrived, first = self._held[name][rows], self._arrived[name][rows], self._first[rows]
        held = np.concatenate([held[:, 1:], newest[:, None]], axis=1)
        whole = up & self._deliver(newest[:, None])[:, 0]
        arrived = np.concatenate([arrived[:, 1:], whole[:, None]], axis=1)
        # An episode begins with the environment's own stack, as far as the sensor is up.
        held[first, :-1] = stack[first, :-1]
        arrived[first, :-1] = up[first, None] & self._deliver(stack[first, :-1])
        self._held[name][rows], self._arrived[name][rows] = held, arrived
        frames = fill_gaps(held, arrived).copy()
        frames[~up] = 0
        return frames

    def _deliver(self, frames: Values) -> Bools:
        """Return which frames have the numbers that they need to be there, shape (m, frames)."""
        if frames.dtype.kind != "f":
            return np.ones(frames.shape[:2], np.bool_)
        there, axes = np.abs(frames) < NO_READING, tuple(range(2, frames.ndim))
        return np.asarray(there.all(axis=axes) if self._whole else there.any(axis=axes))
