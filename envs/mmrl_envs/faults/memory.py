"""Mechanisms that remember: sensors that are stuck, late, drifting or partly covered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.faults.mechanisms import (
    Effect,
    Floats,
    Gauge,
    Mechanism,
    Moment,
    Number,
    Values,
    check_offset,
    check_scale,
)
from mmrl_envs.validation import check_integer, check_number, check_share

LEAST_SIDE = 8
"""Pixels that a channel needs in two directions to be taken for an image."""


class _Outage:
    """Counts for how many observations the present outage has lasted."""

    def __init__(self, count: int) -> None:
        self._length = np.zeros(count, np.int64)

    def length(self, moment: Moment) -> NDArray[np.int64]:
        """Return 1 in the first observation of an outage, 0 outside of one, shape (m,)."""
        before = np.where(moment.age == 0, 0, self._length[moment.rows])
        length = np.where(moment.down, before + 1, 0)
        self._length[moment.rows] = length
        return length


@dataclass(frozen=True)
class Freeze(Mechanism):
    """The sensor is stuck at its last healthy value, or at the episode's first one."""

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`~mmrl_envs.faults.mechanisms.Mechanism`."""
        return _Freeze(space, count)


class _Freeze(Effect):
    def __init__(self, space: spaces.Space[Any], count: int) -> None:
        self._held = np.zeros((count, *(space.shape or ())), space.dtype)

    def apply(self, values: Values, moment: Moment) -> Values:
        held = self._held[moment.rows]
        fresh = ~moment.down | (moment.age == 0)
        held[fresh] = values[fresh]
        self._held[moment.rows] = held
        return held.copy()


@dataclass(frozen=True)
class Delay(Mechanism):
    """Values arrive late; those from before the episode are replaced by its first one.

    Attributes:
        steps: Mean delay, at least 1.
        jitter: The delay of each value is drawn from steps +- jitter; at most `steps`.
    """

    steps: int
    jitter: int = 0
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1)
        check_integer("jitter", self.jitter, 0, self.steps)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`~mmrl_envs.faults.mechanisms.Mechanism`."""
        return _Delay(self, space, count)


class _Delay(Effect):
    def __init__(self, delay: Delay, space: spaces.Space[Any], count: int) -> None:
        self._delay = delay
        self._slots = delay.steps + delay.jitter + 1
        self._past = np.zeros((count, self._slots, *(space.shape or ())), space.dtype)
        self._indices = np.arange(count)

    def apply(self, values: Values, moment: Moment) -> Values:
        rows = self._indices[moment.rows]
        self._past[rows, moment.age % self._slots] = values
        lag = np.where(moment.down, self._delay.steps, 0)
        if self._delay.jitter:
            jitter = self._delay.jitter
            for place in np.flatnonzero(moment.down):
                lag[place] += moment.generators[place].integers(-jitter, jitter + 1)
        then = np.maximum(moment.age - lag, 0)
        return np.asarray(self._past[rows, then % self._slots])


@dataclass(frozen=True)
class Drift(Mechanism):
    """An error grows with every step of an outage.

    Attributes:
        strength: Growth per step as a share of the channel's range, of either sign but not zero.
        scale: Taken for the range, where the bounds are infinite.
    """

    strength: Number
    scale: Number | None = None

    def __post_init__(self) -> None:
        check_offset(self.strength)
        check_scale(self.scale)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`~mmrl_envs.faults.mechanisms.Mechanism`."""
        gauge = Gauge.of(name, space, "drift")
        return _Drift(gauge, self.strength * gauge.span(self.scale), count)


class _Drift(Effect):
    def __init__(self, gauge: Gauge, growth: Floats, count: int) -> None:
        self._gauge, self._growth, self._outage = gauge, growth, _Outage(count)

    def apply(self, values: Values, moment: Moment) -> Values:
        length = self._outage.length(moment).reshape(-1, *(1 for _ in self._growth.shape))
        drifted = self._gauge.fit(values + length * self._growth)
        return np.where(length > 0, drifted, values)


@dataclass(frozen=True)
class Occlusion(Mechanism):
    """A rectangle of the image is covered, in a place drawn for each outage.

    The axis of a channel's three that is shortest is taken for colours or a stack; all of them are
    covered alike.

    Attributes:
        size: Height and width of the rectangle as shares of the image's, within (0, 1].
    """

    size: Number
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("size", self.size, above=0.0)
        check_share("size", self.size)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`~mmrl_envs.faults.mechanisms.Mechanism`."""
        gauge = Gauge.of(name, space, "occlusion")
        shape = gauge.low.shape
        axes = [axis for axis in range(len(shape)) if len(shape) == 2 or axis != np.argmin(shape)]
        if len(shape) not in (2, 3) or min(shape[axis] for axis in axes) < LEAST_SIDE:
            raise ValueError(
                f"occlusion needs an image of at least {LEAST_SIDE} x {LEAST_SIDE} pixels in two "
                f"or three axes, {name!r} has shape {shape}"
            )
        return _Occlusion(float(self.size), gauge, axes, count)


class _Occlusion(Effect):
    def __init__(self, size: float, gauge: Gauge, axes: list[int], count: int) -> None:
        self._axes = axes
        self._sides = np.array([gauge.low.shape[axis] for axis in axes])
        self._patch = np.maximum(np.rint(size * self._sides), 1).astype(np.int64)
        self._dark = gauge.fit(np.maximum(gauge.low, np.minimum(gauge.high, 0.0)))
        self._corner = np.zeros((count, 2), np.int64)
        self._outage = _Outage(count)

    def apply(self, values: Values, moment: Moment) -> Values:
        length = self._outage.length(moment)
        corners = self._corner[moment.rows]
        for place in np.flatnonzero(length == 1):
            room = self._sides - self._patch + 1
            corners[place] = moment.generators[place].random(2) * room
        self._corner[moment.rows] = corners
        places = np.flatnonzero(moment.down)
        covered = values.copy() if len(places) else values
        for place in places:
            window: list[Any] = [slice(None)] * self._dark.ndim
            for axis, start, side in zip(self._axes, corners[place], self._patch, strict=True):
                window[axis] = slice(start, start + side)
            covered[(place, *window)] = self._dark[tuple(window)]
        return covered
