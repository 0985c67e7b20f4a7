"""`SplitObservation`: the parts of a flat observation become named channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from mmrl_envs.validation import check_integer, is_list
from mmrl_envs.wrappers.channels import (
    Observation,
    channel_space,
    check_known,
    check_new,
    class_names,
    dict_channels,
)
from mmrl_envs.wrappers.conform import conform

Indices = NDArray[np.intp]

# Gymnasium's MuJoCo v5 environments describe their observation; these are our names for its parts.
_PARTS = {
    "qpos": "position",
    "qvel": "velocity",
    "cinert": "inertia",
    "cvel": "body_velocity",
    "qfrc_actuator": "actuator_force",
    "cfrc_ext": "contact_force",
}
# Those that do not, by class: the parts in their order.
_LAYOUTS: dict[str, dict[str, int]] = {
    "InvertedDoublePendulumEnv": {"position": 5, "velocity": 3, "constraint_force": 1},
    "PusherEnv": {"position": 7, "velocity": 7, "arm_tip": 3, "object": 3, "goal": 3},
    "ReacherEnv": {"position": 4, "target": 2, "velocity": 2, "target_offset": 2},
}


class SplitObservation(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Names slices of a flat Box observation as channels.

    Args:
        env: The environment. Its observation is a Box of one axis, or a Dict that has one.
        slices: Channel by name: `[start, stop]`, or a list of such pairs, which are concatenated.
            Together they must cover every entry exactly once. None takes the preset for a
            Gymnasium MuJoCo v5 environment, see :func:`preset_slices`.
        source: The entry to split where the observation is a Dict; the others stay.

    Raises:
        TypeError: The observation is not of that kind.
        ValueError: Slices overlap, are out of range or leave entries out; a name is taken or
            reserved; `source` does not exist; there is no preset for the environment.

    Example:
        >>> env = gymnasium.make("CartPole-v1")
        >>> env = SplitObservation(env, {"cart": [0, 2], "pole": [2, 4]})
        >>> observation, info = env.reset(seed=0)
        >>> {name: values.shape for name, values in observation.items()}
        {'cart': (2,), 'pole': (2,)}
        >>> env.merge(observation).shape
        (4,)
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        slices: Mapping[str, Sequence[Any]] | None = None,
        *,
        source: str | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(self, slices=slices, source=source)
        super().__init__(env)
        others, box = _box_to_split(env.observation_space, source)
        self._source = source
        self._size = box.shape[0]
        self._indices = _check_slices(preset_slices(env) if slices is None else slices, self._size)
        check_new(self._indices, others, "SplitObservation")
        channels = {
            name: spaces.Box(box.low[at], box.high[at], dtype=box.dtype.type)
            for name, at in self._indices.items()
        }
        self.observation_space = channel_space({**others, **channels})
        self._names = sorted([*others, *channels])

    @property
    def indices(self) -> dict[str, Indices]:
        """Places of each channel's numbers in the array that is split."""
        return {name: at.copy() for name, at in self._indices.items()}

    def observation(self, observation: Any) -> Observation:
        """Return the channels, as copies."""
        observation = conform(observation, self.env.observation_space)
        flat = observation if self._source is None else observation[self._source]
        channels = {name: flat[at] for name, at in self._indices.items()}
        if self._source is not None:
            channels |= {name: v for name, v in observation.items() if name != self._source}
        return {name: channels[name] for name in self._names}

    def merge(self, observation: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the flat array that was split.

        Args:
            observation: The channels, shape (..., size of the channel); leading axes are free.
        """
        check_known(self._indices, observation, "SplitObservation.merge")
        parts = {name: np.asarray(observation[name]) for name in self._indices}
        first = next(iter(parts.values()))
        flat = np.empty((*first.shape[:-1], self._size), np.result_type(*parts.values()))
        for name, at in self._indices.items():
            flat[..., at] = parts[name]
        return flat


def preset_slices(env: gymnasium.Env[Any, Any]) -> dict[str, list[int]]:
    """Return channels for one of Gymnasium's MuJoCo v5 environments, as it is configured.

    `position` and `velocity` of the joints everywhere (without the coordinates which the
    environment leaves out); `contact_force` for Ant and both Humanoids, these also with `inertia`,
    `body_velocity` and `actuator_force`; `constraint_force` for InvertedDoublePendulum; `target`
    and `target_offset` for Reacher; `arm_tip`, `object` and `goal` for Pusher.

    Raises:
        ValueError: It is not one of these environments.
    """
    names = class_names(env)
    space = env.unwrapped.observation_space
    sizes: dict[str, int] = {}
    if "MujocoEnv" in names:
        structure = getattr(env.unwrapped, "observation_structure", None) or {}
        sizes = {_PARTS[part]: size for part, size in structure.items() if part in _PARTS and size}
        sizes = sizes or next((_LAYOUTS[name] for name in names if name in _LAYOUTS), {})
    if not sizes or space.shape != (sum(sizes.values()),):
        raise ValueError(
            f"no preset for {names[0]} with the observation {space}: presets exist for Gymnasium's "
            "MuJoCo v5 environments; name the slices, such as {'position': [0, 8], ...}"
        )
    stops = np.cumsum(list(sizes.values())).tolist()
    return {
        name: [stop - size, stop] for (name, size), stop in zip(sizes.items(), stops, strict=True)
    }


def _box_to_split(
    space: spaces.Space[Any], source: str | None
) -> tuple[dict[str, spaces.Space[Any]], spaces.Box]:
    """Return the channels that stay and the Box to split."""
    others: dict[str, spaces.Space[Any]] = {}
    if source is not None:
        others = dict_channels(space, "SplitObservation with a source")
        check_known([source], others, "SplitObservation")
        space = others.pop(source)
    elif isinstance(space, spaces.Dict):
        raise TypeError(
            f"the observation is a Dict: name the entry to split, source=..., of {list(space)}"
        )
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise TypeError(f"SplitObservation splits a Box of one axis, got {space}")
    return others, space


def _check_slices(slices: Mapping[str, Sequence[Any]], size: int) -> dict[str, Indices]:
    """Return the entries of each channel, sorted by name."""
    if not isinstance(slices, Mapping):
        raise TypeError(f"slices must map names to ranges, such as {{'a': [0, 8]}}, got {slices!r}")
    if not slices:
        raise ValueError(f"no slices: name at least one channel of the {size} entries")
    owners = np.full(size, "", dtype=object)
    indices: dict[str, Indices] = {}
    for name, ranges in sorted(slices.items()):
        pairs = [_check_range(name, pair, size) for pair in _pairs(name, ranges)]
        indices[name] = at = np.concatenate([np.arange(start, stop) for start, stop in pairs])
        taken = at[(owners[at] != "") | (np.bincount(at, minlength=size)[at] > 1)]
        if taken.size:
            other = owners[taken[0]] or name
            raise ValueError(f"slices {other!r} and {name!r} overlap in entry {taken[0]}")
        owners[at] = name
    free = np.flatnonzero(owners == "")
    if free.size:
        raise ValueError(
            f"the slices cover {size - free.size} of {size} entries; in no channel: {free.tolist()}"
        )
    return indices


def _pairs(name: str, ranges: Sequence[Any]) -> list[Sequence[Any]]:
    parts = list(ranges) if is_list(ranges) else []
    nested = [isinstance(part, Sequence) for part in parts]
    pairs: list[Any] = parts if nested and all(nested) else [parts]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"slice {name!r} must be [start, stop] or a list of such, got {ranges!r}")
    return pairs


def _check_range(name: str, pair: Sequence[Any], size: int) -> tuple[int, int]:
    start, stop = pair
    check_integer(f"start of slice {name!r}", start, 0, size - 1)
    check_integer(f"stop of slice {name!r}", stop, start + 1, size)
    return start, stop
