"""When sensors fail: patterns in time.

A rate means one thing everywhere: the expected share of the observations of an episode, its first
one included, in which a channel is faulty. It is nominal: `keep_at_least` may spare some.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmrl_envs.validation import check_integer, check_number, check_share, is_list

Bools = NDArray[np.bool_]
Number = int | float  # configuration files write 1 as well as 1.0
Condition = Callable[[Mapping[str, NDArray[Any]]], Bools]


class Pattern(ABC):
    """A rule that says in which steps a fault is active, for each of its channels on its own."""

    random: ClassVar[bool] = False
    """Whether `down` reads uniform random numbers."""

    @abstractmethod
    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """Return when the fault is active, shape (steps, channels, environments).

        Args:
            uniform: Independent numbers within [0, 1), shape (steps, channels, environments); of
                no steps where the pattern is not random.
            age: Observations since the first of the episode, shape (steps, environments). Within
                an environment it grows by one per step.
            before: The result of the step before the first, shape (channels, environments);
                arbitrary where an episode begins.
        """

    @abstractmethod
    def probability(self, steps: int) -> NDArray[np.float64]:
        """Return the probability of being active in each of an episode's first observations.

        Their mean is the nominal rate.
        """


@dataclass(frozen=True)
class Fixed(Pattern):
    """Always."""

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """See :class:`Pattern`."""
        return np.ones((len(age), *before.shape), np.bool_)

    def probability(self, steps: int) -> NDArray[np.float64]:
        """See :class:`Pattern`."""
        return np.ones(steps)


@dataclass(frozen=True)
class Bernoulli(Pattern):
    """In each step with the same probability, independently.

    With the same seed, the faults of a lower rate are a subset of those of a higher one.

    Attributes:
        rate: Probability within [0, 1].
    """

    rate: Number
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("rate", self.rate)

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """See :class:`Pattern`."""
        return uniform < self.rate

    def probability(self, steps: int) -> NDArray[np.float64]:
        """See :class:`Pattern`."""
        return np.full(steps, self.rate)


@dataclass(frozen=True)
class Episode(Pattern):
    """In whole episodes, each with the same probability.

    Attributes:
        rate: Probability within [0, 1].
    """

    rate: Number
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("rate", self.rate)

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """See :class:`Pattern`."""
        down = np.where(age[0] == 0, uniform[0] < self.rate, before)
        return np.repeat(down[None], len(age), axis=0)

    def probability(self, steps: int) -> NDArray[np.float64]:
        """See :class:`Pattern`."""
        return np.full(steps, self.rate)


@dataclass(frozen=True)
class Burst(Pattern):
    """In outages of random length, the Gilbert-Elliott model; an episode starts in equilibrium.

    E. N. Gilbert, Capacity of a burst-noise channel, 1960: a Markov chain of two states with
    geometric sojourn times.

    Attributes:
        outage: Mean length of an outage in steps, at least 1.
        uptime: Mean number of steps between outages, at least 1.
    """

    outage: Number
    uptime: Number
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("outage", "uptime"):
            check_number(name, getattr(self, name), above=0.0)
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 step, got {getattr(self, name)}")

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """See :class:`Pattern`.

        A working channel fails where uniform < fail, a failed one recovers where uniform >= stay.
        So one number sets the state wherever both agree on the outcome, and in between them it
        keeps it (fail <= stay) or flips it (fail > stay). Hence no loop over the steps.
        """
        fail, stay = 1 / self.uptime, 1 - 1 / self.outage
        value = uniform < min(fail, stay)
        decided = value | (uniform >= max(fail, stay))
        value[0] = np.where(age[0] == 0, uniform[0] < self.probability(1), value[0])
        decided[0] |= age[0] == 0
        step = np.arange(len(uniform))[:, None, None]
        last = np.maximum.accumulate(np.where(decided, step, -1), axis=0)
        state = np.where(last < 0, before, np.take_along_axis(value, np.maximum(last, 0), axis=0))
        if fail > stay:
            state ^= ((step - last) % 2).astype(np.bool_)
        return state

    def probability(self, steps: int) -> NDArray[np.float64]:
        """See :class:`Pattern`."""
        return np.full(steps, self.outage / (self.outage + self.uptime))


@dataclass(frozen=True)
class Permanent(Pattern):
    """From one step of the episode on.

    Attributes:
        start: The first faulty observation; 0 is the one that `reset` returns.
    """

    start: int

    def __post_init__(self) -> None:
        check_integer("start", self.start, 0)

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """See :class:`Pattern`."""
        return np.repeat((age >= self.start)[:, None], len(before), axis=1)

    def probability(self, steps: int) -> NDArray[np.float64]:
        """See :class:`Pattern`."""
        return np.where(np.arange(steps) >= self.start, 1.0, 0.0)


@dataclass(frozen=True)
class Intervals(Pattern):
    """During given intervals of every episode.

    Attributes:
        intervals: Pairs (start, stop) of observation numbers; stop is the first healthy one.
    """

    intervals: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        if not is_list(self.intervals) or not all(
            is_list(interval) and len(interval) == 2 for interval in self.intervals
        ):
            raise ValueError(
                f"intervals must be a list of (start, stop) pairs, got {self.intervals!r}"
            )
        for interval in self.intervals:
            check_integer("the start of an interval", interval[0], 0)
            check_integer("the stop of an interval", interval[1], interval[0] + 1)

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """See :class:`Pattern`."""
        down = np.zeros(age.shape, np.bool_)
        for start, stop in self.intervals:
            down |= (start <= age) & (age < stop)
        return np.repeat(down[:, None], len(before), axis=1)

    def probability(self, steps: int) -> NDArray[np.float64]:
        """See :class:`Pattern`."""
        age = np.arange(steps)[:, None]
        return self.down(np.empty(0), age, np.zeros((1, 1), np.bool_))[:, 0, 0].astype(np.float64)


@dataclass(frozen=True)
class State(Pattern):
    """Where a function of the healthy observation says so: a camera that fails in the dark.

    Attributes:
        condition: Takes the observation with a leading axis of n environments, whatever their
            number, and returns n booleans. Or where to import it from, as "package.module:name",
            which is what a specification can hold.
    """

    condition: Condition | str

    def __post_init__(self) -> None:
        self.function()

    def function(self) -> Condition:
        """Return the condition, imported if it is given by name."""
        if not isinstance(self.condition, str):
            if not callable(self.condition):
                raise TypeError(
                    "condition must be a function or its name as 'package.module:function', got "
                    f"{self.condition!r}"
                )
            return self.condition
        module, _, name = self.condition.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"condition must be importable as 'package.module:function', got "
                f"{self.condition!r}: {error}"
            ) from error
        if not callable(function):
            raise TypeError(f"condition {self.condition!r} must name a function, got {function!r}")
        condition: Condition = function
        return condition

    def active(self, observation: Mapping[str, NDArray[Any]], count: int) -> Bools:
        """Return which of `count` environments are affected, shape (count,)."""
        down = np.asarray(self.function()(observation))
        if down.shape != (count,) or down.dtype != np.bool_:
            raise ValueError(
                f"condition must return {count} booleans, one per environment, "
                f"got {down.dtype} of shape {down.shape}"
            )
        return down

    def down(self, uniform: NDArray[np.float64], age: NDArray[np.int64], before: Bools) -> Bools:
        """Return False: what the state will be is not known in advance."""
        return np.zeros((len(age), *before.shape), np.bool_)

    def probability(self, steps: int) -> NDArray[np.float64]:
        """Raise ValueError: it depends on the states that are visited."""
        raise ValueError("a state-dependent fault has no nominal rate; read the realised one")
