"""Environments whose policy sees some of the sensors only: what is not seen is not made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gymnasium import spaces

from mmrl.control.config import EnvConfig
from mmrl.control.envs import make_envs
from mmrl.settings import ConfigError


def observed_space(config: EnvConfig) -> spaces.Space[Any]:
    """What one environment delivers."""
    envs = make_envs(config, 1)
    envs.close()
    return envs.single_observation_space


def seen_env(config: EnvConfig, names: Sequence[str]) -> EnvConfig:
    """The environment in which a policy is trained that sees some sensors.

    Cameras that it does not see are not rendered, where the other channels are the same without.

    Args:
        config: The environment.
        names: The sensors that the policy sees.

    Raises:
        ConfigError: The environment cannot be made, or has no such sensors.
    """
    space: Any = observed_space(config)
    known = list(space.spaces) if isinstance(space, spaces.Dict) else []
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"agent.sees names {unknown}; the sensors of {config.id!r} are {known}")
    wanted = {name: space.spaces[name] for name in known if name in names}
    selected: dict[str, Any] = {"name": "select", "channels": list(names)}
    whole = replace(config, wrappers=[*config.wrappers, selected])
    lean = replace(config, wrappers=[*_without_cameras(config.wrappers, names), selected])
    try:
        same = observed_space(lean) == spaces.Dict(wanted)
    except ConfigError:  # without a camera there may be no Dict
        same = False
    return lean if same else whole


def _without_cameras(
    wrappers: Sequence[dict[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    left = []
    dropped: set[str] = set()
    for spec in wrappers:
        channel = spec.get("channel", "camera")
        if spec["name"] == "camera" and channel not in names:
            dropped.add(channel)
        elif spec["name"] == "stack" and isinstance(spec.get("frames"), Mapping):
            frames = {n: count for n, count in spec["frames"].items() if n not in dropped}
            left += [{**spec, "frames": frames}] * bool(frames)
        else:
            left.append(spec)
    return left
