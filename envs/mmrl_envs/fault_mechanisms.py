"""How sensors fail: what a fault does to the values of a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Values = NDArray[Any]
Rows = slice | NDArray[np.int64]


class Effect(ABC):
    """A mechanism at work on one channel of some environments."""

    @abstractmethod
    def apply(
        self,
        values: Values,
        down: NDArray[np.bool_],
        age: NDArray[np.int64],
        rows: Rows,
        generators: list[np.random.Generator],
    ) -> Values:
        """Return the values that the faulty sensors deliver; the input stays untouched.

        It is called once per observation of every environment, faulty or not.

        Args:
            values: Shape (m, ...).
            down: Whether the fault is active, shape (m,).
            age: Observations since the first of the episode, shape (m,).
            rows: Which environments these are, as an index into all of them.
            generators: One per environment, m of them, if the mechanism is random.
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


class _Blackout(Effect):
    def apply(
        self,
        values: Values,
        down: NDArray[np.bool_],
        age: NDArray[np.int64],
        rows: Rows,
        generators: list[np.random.Generator],
    ) -> Values:
        dark = values.copy()
        dark[down] = 0
        return dark


@dataclass(frozen=True)
class Blackout(Mechanism):
    """Nothing arrives: zeros, and normally the sensor is known to be missing."""

    announces: ClassVar[bool] = True

    def effect(self, name: str, space: spaces.Space[Any], count: int) -> Effect:
        """See :class:`Mechanism`."""
        return _Blackout()


MECHANISMS: dict[str, type[Mechanism]] = {"blackout": Blackout}
