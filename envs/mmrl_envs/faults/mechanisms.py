"""How sensors fail: what a fault does to the values of a channel.

Strengths are shares of a channel's range, the difference of its bounds. Channels without finite
bounds need `scale`, a number to be taken for the range. Results are rounded where the channel holds
integers and clipped to its bounds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.validation import check_number, check_share

Values = NDArray[Any]
Floats = NDArray[np.float64]
Rows = slice | NDArray[np.int64]
Number = int | float  # configuration files write 1 as well as 1.0
Generators = list[np.random.Generator]


@dataclass(frozen=True)
class Moment:
    """What an effect is told about m observations.

    Attributes:
        down: Whether the fault is active, shape (m,).
        age: Observations since the first of the episode, shape (m,).
        rows: Which environments these are, as an index into all of them.
        generators: One per observation if the mechanism is random, otherwise none.
    """

    down: NDArray[np.bool_]
    age: NDArray[np.int64]
    rows: Rows
    generators: Generators


class Effect(ABC):
    """A mechanism at work on one channel of some environments."""

    @abstractmethod
    def apply(self, values: Values, moment: Moment) -> Values:
        """Return the values that the sensors deliver, shape (m, ...); the input stays untouched.

        It is called once per observation of every environment, faulty or not.
        """


class Mechanism(ABC):
    """A kind of damage."""

    announces: ClassVar[bool] = False
    """Whether the sensor says that it has failed, unless the fault says otherwise."""
    random: ClassVar[bool] = False
    """Whether the effect reads random numbers."""

    @abstractmethod
    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """Return the effect on a channel.

        Args:
            name: The channel, for messages.
            space: Its space in one environment.
            count: Number of environments.

        Raises:
            ValueError: The mechanism does not fit the channel.
        """


class Momentary(Effect):
    """An effect that depends on the present value only.

    Args:
        change: Takes the values of faulty channels, shape (m, ...), and their generators. It can
            be pickled, as environments can.
    """

    def __init__(self, change: Callable[[Values, Generators], Values]) -> None:
        self._change = change

    def apply(self, values: Values, moment: Moment) -> Values:
        """See :class:`Effect`."""
        places = np.flatnonzero(moment.down)
        if not len(places):
            return values
        generators = [moment.generators[place] for place in places] if moment.generators else []
        delivered = values.copy()
        delivered[places] = self._change(values[places], generators)
        return delivered


@dataclass(frozen=True)
class Gauge:
    """The range of a channel, and how to put numbers back into it."""

    name: str
    space: spaces.Box
    low: Floats
    high: Floats

    @classmethod
    def of(cls, name: str, space: spaces.Space[Any], mechanism: str) -> Gauge:
        """Read a space.

        Raises:
            ValueError: The space is no Box.
        """
        if not isinstance(space, spaces.Box):
            raise ValueError(f"{mechanism} needs a Box channel, {name!r} is {space}")
        return cls(name, space, space.low.astype(np.float64), space.high.astype(np.float64))

    def span(self, scale: Number | None) -> Floats:
        """Return what a strength of 1 means, for every value of the channel.

        Raises:
            ValueError: The bounds are infinite and there is no scale.
        """
        if scale is not None:
            return np.full(self.space.shape, float(scale))
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError(
                f"channel {self.name!r} has no finite bounds to measure a fault's strength by: "
                "give the fault a 'scale'"
            )
        return self.high - self.low

    def extremes(self, scale: Number | None) -> tuple[Floats, Floats]:
        """Return the least and the greatest reading: the bounds, or the scale in both directions.

        Raises:
            ValueError: See :meth:`span`.
        """
        span = self.span(scale)
        return (self.low, self.high) if scale is None else (-span, span)

    def fit(self, numbers: Floats) -> Values:
        """Round and clip to the channel's type and bounds."""
        if np.issubdtype(self.space.dtype, np.integer):
            numbers = np.rint(numbers)
        return np.clip(numbers, self.low, self.high).astype(self.space.dtype)


@dataclass(frozen=True)
class Blackout(Mechanism):
    """Nothing arrives: zeros, and normally the sensor is known to be missing."""

    announces: ClassVar[bool] = True

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        return Momentary(partial(_everywhere, 0.0))


@dataclass(frozen=True)
class NotANumber(Mechanism):
    """NaN arrives, from a driver that divides by zero; whoever receives it has to notice.

    Not announced, it leaves `available` at 1, and the observation outside of its space: Gymnasium's
    `check_env` refuses it.
    """

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        if not np.issubdtype(space.dtype, np.floating):
            raise ValueError(f"nan needs a channel of floats, {name!r} is {space}")
        return Momentary(partial(_everywhere, np.nan))


@dataclass(frozen=True)
class Noise(Mechanism):
    """Gaussian noise is added.

    Attributes:
        strength: Standard deviation as a share of the channel's range, positive.
        scale: Taken for the range, where the bounds are infinite.
    """

    strength: Number
    scale: Number | None = None
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("strength", self.strength, above=0.0)
        check_scale(self.scale)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        gauge = Gauge.of(name, space, "noise")
        return Momentary(partial(_noisy, gauge, self.strength * gauge.span(self.scale)))


@dataclass(frozen=True)
class SaltAndPepper(Mechanism):
    """Some values jump to the lower or to the upper bound, with equal chances.

    Attributes:
        share: Expected share of the values that do, within (0, 1].
        scale: Taken for the greatest reading of either sign, where the bounds are infinite.
    """

    share: Number
    scale: Number | None = None
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("share", self.share, above=0.0)
        check_share("share", self.share)
        check_scale(self.scale)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        gauge = Gauge.of(name, space, "salt_and_pepper")
        least, greatest = gauge.extremes(self.scale)
        return Momentary(partial(_speckled, gauge, self.share, least, greatest))


@dataclass(frozen=True)
class Bias(Mechanism):
    """A constant is added.

    Attributes:
        strength: The constant as a share of the channel's range, of either sign but not zero.
        scale: Taken for the range, where the bounds are infinite.
    """

    strength: Number
    scale: Number | None = None

    def __post_init__(self) -> None:
        check_offset(self.strength)
        check_scale(self.scale)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        gauge = Gauge.of(name, space, "bias")
        return Momentary(partial(_shifted, gauge, self.strength * gauge.span(self.scale)))


@dataclass(frozen=True)
class Saturation(Mechanism):
    """Readings stop short of the bounds.

    The range shrinks towards zero where zero lies within the bounds, otherwise towards the lower
    one: a gauge of [-10, 10] reads at most +-10 limit, a camera of [0, 255] at most 255 limit.

    Attributes:
        limit: The share of the range that is left, within (0, 1].
        scale: Taken for the greatest reading of either sign, where the bounds are infinite.
    """

    limit: Number
    scale: Number | None = None

    def __post_init__(self) -> None:
        check_number("limit", self.limit, above=0.0)
        check_share("limit", self.limit)
        check_scale(self.scale)

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        gauge = Gauge.of(name, space, "saturation")
        low, high = gauge.extremes(self.scale)
        centre = np.clip(0.0, low, high)
        least, greatest = (centre + self.limit * (bound - centre) for bound in (low, high))
        return Momentary(partial(_clipped, gauge, least, greatest))


def check_scale(scale: object) -> None:
    """Raise TypeError or ValueError unless it is None or a positive number."""
    if scale is not None:
        check_number("scale", scale, above=0.0)


def check_offset(strength: Number) -> None:
    """Raise TypeError or ValueError unless it is a finite number other than zero."""
    check_number("the absolute value of strength", abs(strength), above=0.0)


def _everywhere(number: float, values: Values, _: Generators) -> Values:
    return np.full_like(values, number)


def _noisy(gauge: Gauge, deviation: Floats, values: Values, generators: Generators) -> Values:
    noise = np.stack([g.standard_normal(deviation.shape) for g in generators])
    return gauge.fit(values + deviation * noise)


def _speckled(
    gauge: Gauge,
    share: Number,
    least: Floats,
    greatest: Floats,
    values: Values,
    generators: Generators,
) -> Values:
    uniform = np.stack([g.random(gauge.low.shape) for g in generators])
    extreme = np.where(uniform < share / 2, least, greatest)
    return gauge.fit(np.where(uniform < share, extreme, values))


def _shifted(gauge: Gauge, offset: Floats, values: Values, _: Generators) -> Values:
    return gauge.fit(values + offset)


def _clipped(
    gauge: Gauge, least: Floats, greatest: Floats, values: Values, _: Generators
) -> Values:
    return gauge.fit(np.clip(values, least, greatest))
