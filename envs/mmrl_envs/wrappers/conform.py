"""`Conform`: what an environment delivers, as Gymnasium's contract has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from mmrl_envs.readings import reading

STATE = "state"
"""Key in an environment's info of what is really the case: a vector of numbers."""


class Conform(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Hands on new arrays of the observation space, and a number as reward.

    Environments that reuse their arrays would otherwise change what was observed before: the last
    observation of an episode would be the first one of the next. A floating sensor that is None, or
    whose key is absent, delivers NaN, which means missing everywhere here; one of integers has no
    value for that and is refused by its name.

    Of `info`, numbers are handed on, and `info["state"]` where it is a finite vector of numbers (as
    a tuple, whose length may change); vector environments could not batch all else that an info may
    be.

    Args:
        env: Any environment.

    Example:
        >>> env = Conform(gymnasium.make("CartPole-v1"))
        >>> env.reset(seed=0)[0].shape
        (4,)
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return conform(observation, self.env.observation_space), _told(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Pass an action on.

        Raises:
            ValueError: The reward is no finite number, an end is neither true nor false, or a
                sensor delivers what its space has not.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return (
            conform(observation, self.env.observation_space),
            _number("the reward", reward),
            bool(_number("terminated", terminated)),
            bool(_number("truncated", truncated)),
            _told(info),
        )


def conform(observation: Any, space: spaces.Space[Any], name: str = "") -> Any:
    """Return an observation in new arrays of its space; see :class:`Conform`.

    Args:
        observation: What an environment delivered; entries of a Dict may be absent or None.
        space: What it should be.
        name: Name of the sensor, for messages.

    Raises:
        ValueError: Something that the space has not.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, Mapping):
            raise ValueError(f"expected a dict of {list(space.spaces)}, got {observation!r}")
        return {
            key: conform(observation.get(key), part, f"{name}.{key}" if name else str(key))
            for key, part in space.spaces.items()
        }
    if isinstance(space, spaces.Tuple):
        if len(observation) != len(space.spaces):
            raise ValueError(f"expected {len(space.spaces)} entries, got {observation!r}")
        return tuple(
            conform(entry, part, f"{name}.{number}" if name else str(number))
            for number, (entry, part) in enumerate(zip(observation, space.spaces, strict=True))
        )
    if not isinstance(
        space, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete
    ):
        return observation
    value = reading(name or "observation", observation, space)
    if value is None:
        value = _nothing(name, space)
    return value[()] if isinstance(space, spaces.Discrete) else value


def state_vector(value: Any) -> tuple[float, ...] | None:
    """Return `info["state"]` as numbers, or None where it is no finite vector of numbers."""
    if value is None or isinstance(value, str | bytes | Mapping):
        return None
    try:
        vector = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    fits = vector.ndim == 1 and vector.size and np.isfinite(vector).all()
    return tuple(vector.tolist()) if fits else None


def _nothing(name: str, space: spaces.Space[Any]) -> Any:
    if np.issubdtype(np.dtype(space.dtype), np.floating):
        return np.full(space.shape or (), np.nan, space.dtype)
    raise ValueError(
        f"sensor {name!r} delivered nothing (None, NaN, or no such key), and {space} has no value "
        "for that: declare it as a floating Box and deliver NaN, which means missing, or put "
        "mmrl_envs.SensorDropout around the environment, which takes None for missing"
    )


def _number(what: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fuib" or not np.isfinite(array).all():
        raise ValueError(f"{what} must be one finite number, got {value!r}")
    return float(array.reshape(()))


def _told(info: Any) -> dict[str, Any]:
    if not isinstance(info, Mapping):
        raise ValueError(f"info must be a dict, got {info!r}")
    told: dict[str, Any] = {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in info.items()
        if name != STATE and _is_number(value)
    }
    if (state := state_vector(info.get(STATE))) is not None:
        told[STATE] = state
    return told


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | np.bool_ | int | np.integer | float | np.floating)
