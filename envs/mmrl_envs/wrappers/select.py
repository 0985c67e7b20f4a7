"""`SelectChannels` and `DropChannels`: some channels of an observation, not all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from mmrl_envs.wrappers.channels import Observation, channel_space, dict_channels, matching
from mmrl_envs.wrappers.conform import conform


class SelectChannels(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Keeps channels, and leaves all others out.

    Args:
        env: The environment, with a Dict observation.
        channels: Names of those to keep; * matches anything.

    Raises:
        TypeError: The observation is no Dict.
        ValueError: A name matches no channel, or sensors have failed already.

    Example:
        >>> import mmrl_envs
        >>> env = SelectChannels(gymnasium.make("mmrl/MultimodalPendulum-v0"), ["im*"])
        >>> list(env.reset(seed=0)[0])
        ['image']
    """

    def __init__(self, env: gymnasium.Env[Any, Any], channels: Sequence[str]) -> None:
        RecordConstructorArgs.__init__(self, channels=channels)
        super().__init__(env)
        existing = dict_channels(env.observation_space, "SelectChannels")
        self._kept = matching(_names(channels), existing, "SelectChannels")
        self.observation_space = channel_space({name: existing[name] for name in self._kept})

    def observation(self, observation: Any) -> Observation:
        """Return the channels that are kept."""
        return _only(observation, self._kept, self.observation_space)


class DropChannels(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Leaves channels out.

    Args:
        env: The environment, with a Dict observation.
        channels: Names of those to leave out; * matches anything.

    Raises:
        TypeError: The observation is no Dict.
        ValueError: A name matches no channel, nothing is left, or sensors have failed already.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], channels: Sequence[str]) -> None:
        RecordConstructorArgs.__init__(self, channels=channels)
        super().__init__(env)
        existing = dict_channels(env.observation_space, "DropChannels")
        gone = matching(_names(channels), existing, "DropChannels")
        self._kept = [name for name in sorted(existing) if name not in gone]
        if not self._kept:
            raise ValueError(f"DropChannels leaves nothing of {sorted(existing)}")
        self.observation_space = channel_space({name: existing[name] for name in self._kept})

    def observation(self, observation: Any) -> Observation:
        """Return the channels that are left."""
        return _only(observation, self._kept, self.observation_space)


def _names(channels: Sequence[str]) -> list[str]:
    return [channels] if isinstance(channels, str) else list(channels)


def _only(observation: Any, kept: list[str], space: Any) -> Observation:
    """What is left out may be what no space describes."""
    only: Observation = conform({name: observation.get(name) for name in kept}, space)
    return only
