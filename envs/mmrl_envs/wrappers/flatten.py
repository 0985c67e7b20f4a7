"""`FlattenDict`: nested observations become one level of channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from mmrl_envs.wrappers.channels import Observation, channel_space, check_new, refuse_mask
from mmrl_envs.wrappers.conform import conform

_LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)


class FlattenDict(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Turns nested Dict and Tuple observations into one Dict, names joined by a separator.

    Goal-conditioned observations (`observation`, `achieved_goal`, `desired_goal`) whose parts are
    arrays pass as they are, and `compute_reward` keeps working on them.

    Args:
        env: The environment, with a Dict or Tuple observation of any depth; entries of a Tuple are
            named by their index.
        separator: What stands between the names of the levels; without dots.

    Raises:
        TypeError: The observation is neither Dict nor Tuple, or an entry has no fixed shape (Text,
            Graph, ...).
        ValueError: Two entries get the same name, or sensors have failed already.

    Example:
        >>> arm = spaces.Dict({"joints": spaces.Box(-1, 1, (2,)), "grip": spaces.Box(0, 1, (1,))})
        >>> list(flat_spaces(spaces.Dict({"arm": arm, "goal": spaces.Box(-1, 1, (3,))})))
        ['arm_grip', 'arm_joints', 'goal']
    """

    def __init__(self, env: gymnasium.Env[Any, Any], *, separator: str = "_") -> None:
        RecordConstructorArgs.__init__(self, separator=separator)
        super().__init__(env)
        if "." in separator:
            raise ValueError(f"FlattenDict: names cannot be joined by dots, got {separator!r}")
        space = env.observation_space
        if not isinstance(space, spaces.Dict | spaces.Tuple):
            raise TypeError(f"FlattenDict needs a Dict or Tuple observation, got {space}")
        if isinstance(space, spaces.Dict):
            refuse_mask(space.spaces, "FlattenDict")
        self._separator = separator
        self.observation_space = channel_space(flat_spaces(env.observation_space, separator))

    def observation(self, observation: Any) -> Observation:
        """Return the entries in one level."""
        whole = conform(observation, self.env.observation_space)
        return dict(sorted(_entries(whole, self._separator)))


def flat_spaces(space: spaces.Space[Any], separator: str = "_") -> dict[str, spaces.Space[Any]]:
    """Return the spaces of the entries in one level, sorted by name; see :class:`FlattenDict`."""
    flat: dict[str, spaces.Space[Any]] = {}
    for name, part in sorted(_space_entries(space, separator), key=lambda entry: entry[0]):
        if not isinstance(part, _LEAVES):
            raise TypeError(f"entry {name!r} has no fixed shape and cannot be a channel: {part}")
        check_new([name], flat, f"FlattenDict(separator={separator!r})", dots=True)
        flat[name] = part
    return flat


def _space_entries(
    space: spaces.Space[Any], separator: str
) -> Iterator[tuple[str, spaces.Space[Any]]]:
    parts: Any = space.spaces if isinstance(space, spaces.Dict | spaces.Tuple) else None
    if parts is None:
        yield "", space
        return
    for key, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
        for name, leaf in _space_entries(part, separator):
            yield f"{key}{separator}{name}" if name else str(key), leaf


def _entries(observation: Any, separator: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(observation, dict | tuple):
        yield "", observation
        return
    parts = observation.items() if isinstance(observation, dict) else enumerate(observation)
    for key, part in parts:
        for name, leaf in _entries(part, separator):
            yield f"{key}{separator}{name}" if name else str(key), leaf
