"""Faults at work on the observations of one or many environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.faults.fault import Fault
from mmrl_envs.faults.mechanisms import Effect, Moment, Rows, Values
from mmrl_envs.faults.patterns import State
from mmrl_envs.faults.streams import SPARING, TIMES, VALUES, Sparing, Stream
from mmrl_envs.readings import NO_READING
from mmrl_envs.validation import check_integer

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MISSING, FILL = PARTIAL = ("missing", "fill")
"""What a reading is of which only some numbers arrive."""
ROWS = 256
"""Steps that are drawn ahead."""
EVERYWHERE = slice(None)


@dataclass
class _Track:
    """A fault at work: its columns, when it strikes, (ROWS, channels, environments), its effects.

    Announced faults have no effects, since their values are zeroed.
    """

    fault: Fault
    columns: list[int]
    down: Bools
    effects: list[Effect]


class FaultProcess:
    """Applies faults to batches of observations and says which channels are available.

    Every environment draws from streams of its own, spawned from its seed: one per fault for its
    times, one per fault for its values, one for what is spared. A batch of n environments is the
    same as n batches of one.

    Args:
        faults: Applied in this order where they meet on a channel.
        channels: Names and spaces of the channels in one environment.
        count: Number of environments.
        keep_at_least: So many channels stay available: where announced faults would take more,
            channels drawn at random are spared for as long as this lasts.
        copy: Leave the arrays that come in untouched. False zeroes them in place.
        partial: What a reading is in which some numbers are NaN or infinite: `missing` altogether,
            or to `fill` by whoever receives it: it arrives with NaN in these places.

    Raises:
        TypeError: `keep_at_least` is no integer.
        ValueError: A fault does not fit the channels, `keep_at_least` exceeds their number, or
            `partial` is unknown.
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
        check_integer("keep_at_least", keep_at_least, 0, len(channels))
        if partial not in PARTIAL:
            raise ValueError(f"partial must be one of {', '.join(PARTIAL)}, got {partial!r}")
        self._whole = partial == MISSING
        self.names = tuple(channels)
        self._count, self._copy = count, copy
        self._indices = np.arange(count)
        self._tracks = [_track(fault, channels, count) for fault in faults]
        announced = {c for t in self._tracks if t.fault.announced for c in t.columns}
        self._spares = len(announced) > len(channels) - keep_at_least
        self._sparing = Sparing(len(channels), count, keep_at_least)
        self._reacts = any(isinstance(track.fault.pattern, State) for track in self._tracks)
        self._floats = [
            (column, name)
            for column, (name, space) in enumerate(channels.items())
            if np.issubdtype(space.dtype, np.inexact)
        ]
        table = (ROWS, len(channels), count)
        self._missing, self._faulty = np.zeros(table, np.bool_), np.zeros(table, np.bool_)
        self._priority = np.zeros(table)
        self._row = 0
        self._age, self._episode = np.zeros(count, np.int64), np.full(count, -1, np.int64)
        self._streams: list[dict[tuple[int, ...], Stream]] = [{} for _ in range(count)]
        self._faulty_steps = np.zeros(table[1:], np.int64)

    def restart(self, chosen: NDArray[np.int64], seeds: Sequence[int | None] | None = None) -> None:
        """Begin an episode in the chosen environments, from their seeds where there are any."""
        for place, index in enumerate(chosen.tolist()):
            seed = None if seeds is None else seeds[place]
            if seed is not None or self._episode[index] < 0:
                self._streams[index] = {key: Stream(seed, *key) for key in self._stream_keys()}
                self._episode[index] = -1
            self._episode[index] += 1
            for stream in self._streams[index].values():
                stream.seek(int(self._episode[index]))
        rows = EVERYWHERE if len(chosen) == self._count else chosen
        self._age[rows] = 0
        self._sparing.end(rows)
        self._faulty_steps[:, rows] = 0
        self._schedule(self._row, rows)

    def advance(self) -> None:
        """Go to the next step in all environments."""
        self._row += 1
        self._age += 1
        if self._row == ROWS:
            self._row = 0
            self._schedule(0, EVERYWHERE)

    def apply(
        self,
        observation: Mapping[str, Values],
        rows: Rows = EVERYWHERE,
        lost: Bools | None = None,
    ) -> tuple[dict[str, Values], NDArray[np.int8], Bools]:
        """Let the sensors fail.

        Args:
            observation: Values by channel, shape (m, ...).
            rows: Which environments these are; all of them by default.
            lost: Which channels delivered nothing by themselves, shape (m, channels); None: all
                delivered, as far as their values are finite.

        Returns:
            The values that arrive, zeros where a channel is unavailable; which channels are
            available, shape (m, channels); which are faulty, told or not, shape (m, channels).
        """
        values = dict(observation)
        downs: list[Bools] = []
        if self._reacts:
            downs, missing, faulty = self._react(observation, rows)
        else:
            missing = self._missing[self._row][:, rows]
            faulty = self._faulty[self._row][:, rows]
        for column, where in self._not_delivered(values, lost):
            missing, faulty = missing.copy(), faulty.copy()
            missing[column] |= where
            faulty[column] |= where
            self._zero(values, column, where)
        for number, track in enumerate(self._tracks):
            if track.effects:
                down = downs[number] if downs else track.down[self._row][:, rows]
                self._affect(values, number, down, rows)
        for column, where in enumerate(missing):
            if np.count_nonzero(where):
                self._zero(values, column, where)
        self._faulty_steps[:, rows] += faulty
        # Transposed views of fresh arrays: no second copy for the other order of axes.
        return values, np.logical_not(missing).view(np.int8).T, faulty.copy().T

    def rates(self, rows: Rows = EVERYWHERE) -> NDArray[np.float64]:
        """Return the share of faulty observations in the episode so far, shape (m, channels)."""
        return np.asarray(self._faulty_steps[:, rows] / (self._age[rows] + 1)).T

    def _stream_keys(self) -> list[tuple[int, ...]]:
        keys = [SPARING] if self._spares else []
        for number, track in enumerate(self._tracks):
            keys += [(number, TIMES)] if track.fault.pattern.random else []
            keys += [(number, VALUES)] if track.fault.mechanism.random and track.effects else []
        return keys

    def _draw(self, key: tuple[int, ...], steps: int, rows: Rows) -> Floats:
        """Return numbers within [0, 1), shape (steps, channels, m)."""
        width = len(self.names) if key == SPARING else len(self._tracks[key[0]].columns)
        streams = [self._streams[index][key] for index in self._indices[rows].tolist()]
        uniform = np.empty((len(streams), steps, width))
        for stream, numbers in zip(streams, uniform, strict=True):
            stream.generator.random(out=numbers)
        return np.ascontiguousarray(uniform.transpose(1, 2, 0))

    def _schedule(self, first: int, rows: Rows) -> None:
        """Decide the steps from `first` on."""
        steps = ROWS - first
        age = self._age[rows] + np.arange(steps)[:, None]
        downs = []
        for number, track in enumerate(self._tracks):
            pattern = track.fault.pattern
            uniform = self._draw((number, TIMES), steps, rows) if pattern.random else np.empty(0)
            # Where an episode continues, `first` is 0 and the step before is the table's last.
            downs.append(pattern.down(uniform, age, track.down[-1][:, rows]))
            track.down[first:, :, rows] = downs[-1]
        if self._spares:
            priority = self._draw(SPARING, steps, rows)
            self._priority[first:, :, rows] = priority
        else:
            priority = self._priority[first:, :, rows]
        if not self._reacts:
            missing, faulty = self._combine(downs, priority, rows)
            self._missing[first:, :, rows], self._faulty[first:, :, rows] = missing, faulty

    def _react(
        self, observation: Mapping[str, Values], rows: Rows
    ) -> tuple[list[Bools], Bools, Bools]:
        """Decide this step with faults that depend on the observation."""
        downs = [track.down[self._row][:, rows] for track in self._tracks]
        for number, track in enumerate(self._tracks):
            if isinstance(track.fault.pattern, State):
                active = track.fault.pattern.active(observation, len(self._age[rows]))
                downs[number] = np.repeat(active[None], len(track.columns), axis=0)
        priority = self._priority[self._row][:, rows]
        missing, faulty = self._combine([down[None] for down in downs], priority[None], rows)
        return downs, missing[0], faulty[0]

    def _combine(self, downs: Sequence[Bools], priority: Floats, rows: Rows) -> tuple[Bools, Bools]:
        """Return where channels are missing and where they are faulty, (steps, channels, m)."""
        missing = np.zeros(priority.shape, np.bool_)
        lying = np.zeros(priority.shape, np.bool_)
        for track, down in zip(self._tracks, downs, strict=True):
            (missing if track.fault.announced else lying)[:, track.columns] |= down
        if self._spares:
            self._sparing.spare(missing, priority, rows)
        return missing, missing | lying

    def _not_delivered(
        self, values: Mapping[str, Values], lost: Bools | None
    ) -> list[tuple[int, Bools]]:
        """Return channels with NaN, infinity or nothing, and in which environments, shape (m,)."""
        broken = []
        for column, name in self._floats:
            finite = np.abs(values[name]) < NO_READING
            if not finite.all():
                numbers = finite.reshape(len(finite), -1)
                intact = numbers.all(axis=1) if self._whole else numbers.any(axis=1)
                broken.append((column, np.logical_not(intact)))
        if lost is not None:
            broken += [(column, where) for column, where in enumerate(lost.T) if where.any()]
        return broken

    def _affect(self, values: dict[str, Values], number: int, down: Bools, rows: Rows) -> None:
        track = self._tracks[number]
        generators = []
        if track.fault.mechanism.random:
            indices = self._indices[rows].tolist()
            generators = [self._streams[index][number, VALUES].generator for index in indices]
        for column, where, effect in zip(track.columns, down, track.effects, strict=True):
            name = self.names[column]
            moment = Moment(where, self._age[rows], rows, generators)
            values[name] = effect.apply(values[name], moment)

    def _zero(self, values: dict[str, Values], column: int, where: Bools) -> None:
        name = self.names[column]
        if self._copy:
            values[name] = values[name].copy()
        values[name][where] = 0


def _track(fault: Fault, channels: Mapping[str, spaces.Space[Any]], count: int) -> _Track:
    names = fault.on(list(channels))
    effects = [fault.mechanism.effect(name, channels[name], count) for name in names]
    return _Track(
        fault,
        [list(channels).index(name) for name in names],
        np.zeros((ROWS, len(names), count), np.bool_),
        [] if fault.announced else effects,
    )
