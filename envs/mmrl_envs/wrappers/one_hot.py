"""`OneHotChannels`: what is one of several becomes a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from mmrl_envs.readings import reading
from mmrl_envs.wrappers.channels import (
    Observation,
    channel_space,
    matching,
    named_channels,
    named_values,
)
from mmrl_envs.wrappers.conform import conform


class OneHotChannels(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Turns channels that are Discrete or MultiDiscrete into vectors of zeros and ones.

    A number of several becomes a one at its place; several such numbers stand behind each other. A
    channel that delivers nothing becomes NaN, which means missing.

    Args:
        env: The environment. An observation that is no Dict becomes the channel `state_name`.
        channels: Names of the channels, * matches anything; None takes all that are Discrete or
            MultiDiscrete.
        state_name: Name of the observation, if it is no Dict.

    Raises:
        ValueError: A channel does not exist or is neither of the two, there is none, or sensors
            have failed already.

    Example:
        >>> env = OneHotChannels(gymnasium.make("FrozenLake-v1"))
        >>> observation, info = env.reset(seed=0)
        >>> observation["state"].shape, observation["state"].sum()
        ((16,), np.float32(1.0))
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        channels: Sequence[str] | None = None,
        *,
        state_name: str = "state",
    ) -> None:
        RecordConstructorArgs.__init__(self, channels=channels, state_name=state_name)
        super().__init__(env)
        existing = named_channels(env.observation_space, "OneHotChannels", state_name)
        self._state_name = state_name
        countable = {name: space for name, space in existing.items() if _is_countable(space)}
        names = [channels] if isinstance(channels, str) else channels
        chosen = list(countable) if names is None else matching(names, existing, "OneHotChannels")
        if not chosen or set(chosen) - set(countable):
            wrong = sorted(set(chosen) - set(countable)) or list(existing)
            raise ValueError(
                f"OneHotChannels takes Discrete and MultiDiscrete channels, got {wrong}; such are "
                f"{list(countable) or 'none'} of {list(existing)}"
            )
        self._counts = {name: _counts(countable[name]) for name in chosen}
        self._spaces = existing
        vectors = {
            name: spaces.Box(0.0, 1.0, (int(n.sum()),), np.float32)
            for name, (n, _) in self._counts.items()
        }
        self.observation_space = channel_space({**existing, **vectors})

    def observation(self, observation: Any) -> Observation:
        """Return the observation with vectors."""
        values: dict[str, Any] = named_values(observation, self._state_name)
        made = {
            name: _one_hot(name, reading(name, values.get(name), self._spaces[name]), counts)
            for name, counts in self._counts.items()
        }
        others = {
            name: conform(values.get(name), space, name)
            for name, space in self._spaces.items()
            if name not in made
        }
        return dict(sorted({**others, **made}.items()))


def _is_countable(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete)


def _counts(space: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many values each number has, and the least of them."""
    sizes = space.n if isinstance(space, spaces.Discrete) else space.nvec
    sizes = np.ravel(np.asarray(sizes, np.int64))
    return sizes, np.broadcast_to(np.ravel(np.asarray(space.start, np.int64)), sizes.shape)


def _one_hot(
    name: str,
    value: NDArray[Any] | None,
    counts: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float32]:
    sizes, least = counts
    total = int(sizes.sum())
    if value is None:
        return np.full(total, np.nan, np.float32)
    place = np.ravel(value).astype(np.int64) - least
    if ((place < 0) | (place >= sizes)).any():
        raise ValueError(
            f"sensor {name!r} delivered {value.tolist()}, it has {sizes.tolist()} values from "
            f"{least.tolist()}"
        )
    vector = np.zeros(total, np.float32)
    vector[np.cumsum(sizes) - sizes + place] = 1.0
    return vector
