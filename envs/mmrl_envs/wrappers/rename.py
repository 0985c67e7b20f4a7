"""`RenameChannels`: names that a sensor can have everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from mmrl_envs.wrappers.channels import (
    Observation,
    channel_space,
    check_known,
    check_new,
    dict_channels,
)
from mmrl_envs.wrappers.conform import conform


class RenameChannels(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Gives channels other names.

    Dots, slashes and pluses, as LeRobot's and ROS's names have them, cannot stand in the name of a
    sensor: networks are kept by name, and subsets and files are called by names.

    Args:
        env: The environment, with a Dict observation.
        names: New name by old name; those not named stay. None puts underscores in place of dots,
            slashes, pluses and blanks in all names, none at the beginning and the end.

    Raises:
        TypeError: The observation is no Dict.
        ValueError: A channel does not exist, two get the same name or one that is reserved, or
            sensors have failed already.

    Example:
        >>> plain_name("observation.images.top"), plain_name("/joint_states")
        ('observation_images_top', 'joint_states')
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], names: Mapping[str, str] | None = None
    ) -> None:
        RecordConstructorArgs.__init__(self, names=names)
        super().__init__(env)
        channels = dict_channels(env.observation_space, "RenameChannels")
        given = {name: plain_name(name) for name in channels} if names is None else dict(names)
        check_known(given, channels, "RenameChannels")
        self._names = {name: given.get(name, name) for name in channels}
        renamed: dict[str, Any] = {}
        for old, new in self._names.items():
            check_new([new], renamed, "RenameChannels", dots=old == new)
            renamed[new] = channels[old]
        self.observation_space = channel_space(renamed)

    def observation(self, observation: Any) -> Observation:
        """Return the observation under the new names."""
        values = conform(observation, self.env.observation_space)
        return dict(sorted((new, values[old]) for old, new in self._names.items()))


def plain_name(name: str) -> str:
    """Return a name without dots, slashes, pluses and blanks."""
    return re.sub(r"[./+\s]+", "_", name).strip("_")
