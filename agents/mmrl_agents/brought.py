"""Policies that were trained elsewhere: a zip of Stable-Baselines3, and its VecNormalize.

Nothing in these files is run. Of the zip only tensors are read. `VecNormalize.save` writes a
pickle: of that, arrays are read, and every other object that it names becomes an inert record.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from mmrl.checkpoint import CheckpointError
from mmrl.files import FileError, brief, read_bytes, write_atomically
from mmrl.weights import MOST
from mmrl_agents.actions import policy_space
from mmrl_agents.build import build_policy
from mmrl_agents.checkpoints import DESCRIPTION, FORMAT, VERSION, WEIGHTS, load_weights
from mmrl_agents.config import AUTO, AgentConfig
from mmrl_agents.spaces import to_plain
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics
from mmrl_envs.wrappers.normalize import CLIP, EPSILON
from mmrl_envs.wrappers.split import SplitObservation

_RECONSTRUCT: Any = np.zeros(0).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]
ARRAYS = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
}
"""All that a file of statistics can have called while it is read."""


@dataclass(frozen=True)
class Brought:
    """A policy from elsewhere, as it fits an environment with named sensors.

    Attributes:
        policy: In evaluation mode.
        layout: Places of each sensor's numbers in its observation, where that is flat.
        statistics: Statistics by which it saw its sensors normalized.
    """

    policy: BasePolicy
    layout: dict[str, list[int]] | None
    statistics: ChannelStatistics | None


def bring(
    path: Path | str,
    config: AgentConfig,
    bare: spaces.Space[Any],
    env: gym.Env[Any, Any],
    statistics: Path | str | None = None,
) -> Brought:
    """Reads a policy that was trained on what an environment returns without wrappers.

    Args:
        path: Zip that an algorithm's `save` wrote.
        config: Tells the algorithm and `policy_kwargs` that it was trained with.
        bare: Observation space without wrappers, on which it was trained.
        env: The environment with its wrappers, which name the sensors.
        statistics: What `VecNormalize.save` wrote, if it was trained behind that.

    Raises:
        CheckpointError: A file is missing or damaged, or does not fit the environment.
    """
    settings = replace(config, policy=AUTO)
    policy = build_policy(settings, bare, policy_space(env.action_space))
    load_weights(policy, path)
    layout = None if isinstance(bare, spaces.Dict) else layout_of(env, bare)
    sensors = env.observation_space
    assert isinstance(sensors, spaces.Dict)
    if layout is None and (unknown := sorted(set(_names(bare)) - set(sensors.spaces))):
        raise CheckpointError(
            f"the policy sees {unknown}, which the environment's wrappers rename or leave out; its "
            f"sensors are {list(sensors.spaces)}"
        )
    found = None if statistics is None else vec_normalize_statistics(statistics, layout)
    return Brought(policy, layout, found)


def keep(brought: Brought, config: AgentConfig, sensors: spaces.Space[Any], path: Path) -> None:
    """Writes a policy from elsewhere as a run keeps its own; of its zip only the weights.

    Args:
        brought: The policy.
        config: Configuration of the agent.
        sensors: What the environment delivers.
        path: Path of the file that is written.
    """
    policy, normalized = brought.policy, brought.statistics is not None
    description = {
        "format": FORMAT,
        "version": VERSION,
        "config": asdict(replace(config, policy=AUTO, vec_normalize=None, normalize=normalized)),
        "on_latents": False,
        "encoder_sha256": None,
        "layout": brought.layout,
        "observation_space": to_plain(policy.observation_space),
        "action_space": to_plain(policy.action_space),
        "sensors": to_plain(sensors),
        "env_action_space": to_plain(policy.action_space),
    }
    weights, content = BytesIO(), BytesIO()
    torch.save(policy.state_dict(), weights)
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(WEIGHTS, weights.getvalue())
        archive.writestr(DESCRIPTION, json.dumps(description, indent=2))
    write_atomically(path, content.getvalue())


def layout_of(env: gym.Env[Any, Any], bare: spaces.Space[Any]) -> dict[str, list[int]]:
    """Where the numbers of each sensor stand in the flat observation.

    Raises:
        CheckpointError: The wrappers neither split that observation nor keep it as one sensor.
    """
    inner: Any = env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, SplitObservation):
            return {name: at.tolist() for name, at in inner.indices.items()}
        inner = inner.env
    channels: Any = env.observation_space
    whole = [n for n, space in channels.spaces.items() if space == bare]
    if len(whole) != 1:
        raise CheckpointError(
            f"the policy sees {bare}, and none of the sensors {list(channels.spaces)} is that: "
            "name its parts with the wrapper split"
        )
    return {whole[0]: list(range(bare.shape[0] if bare.shape else 1))}


def vec_normalize_statistics(
    path: Path | str, layout: Mapping[str, Sequence[int]] | None = None
) -> ChannelStatistics:
    """Means and variances that `VecNormalize.save` wrote; nothing in the file is run.

    Args:
        path: The pickle.
        layout: Places of each sensor's numbers, where the observation was flat.

    Raises:
        CheckpointError: It is missing or something else, or clips elsewhere than at 10.
    """
    path = Path(path)
    try:
        state = _Records(BytesIO(read_bytes(path, MOST))).load().state
        moments = state["obs_rms"]
        single = None if isinstance(moments, dict) else moments
        if float(state["clip_obs"]) != CLIP:
            raise CheckpointError(f"{path} clips at {state['clip_obs']}; known is {CLIP:g}")
        extra = float(state["epsilon"]) - EPSILON
        if single is not None and layout is not None:
            parts = {n: _moments(single, list(at)) for n, at in layout.items()}
        else:
            parts = {n: _moments(one, ...) for n, one in moments.items()}
        made = ChannelStatistics({name: mean.shape for name, (mean, _, _) in parts.items()})
        for name, (mean, variance, count) in parts.items():
            made.count[name] = np.full(mean.shape, int(count), np.int64)
            made.mean[name], made.variance[name] = mean, variance + extra
    except (OSError, FileError) as error:
        raise CheckpointError(f"cannot read {path}: {brief(error)}") from error
    except CheckpointError:
        raise
    except Exception as error:  # what a damaged pickle raises has no end
        raise CheckpointError(f"{path} holds no VecNormalize: {brief(error)}") from error
    return made


def _moments(record: Any, at: Any) -> tuple[Any, Any, float]:
    mean, variance = (np.asarray(record.state[k], np.float64) for k in ("mean", "var"))
    return mean[at], variance[at], float(record.state["count"])


def _names(space: spaces.Space[Any]) -> list[str]:
    return list(space.spaces) if isinstance(space, spaces.Dict) else []


class _Record:
    """What stands for any object of a pickle; it does nothing and keeps its parts."""

    state: ClassVar[Any] = {}

    def __new__(cls, *_: Any, **__: Any) -> _Record:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__["state"] = state

    def __call__(self, *_: Any, **__: Any) -> _Record:
        return _Record()

    def append(self, _: Any) -> None:
        pass

    def extend(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass


class _Records(pickle.Unpickler):
    """Reads arrays and plain values; everything else that a pickle names becomes a `_Record`."""

    def find_class(self, module: str, name: str) -> Any:
        return ARRAYS.get((module, name), _Record)
