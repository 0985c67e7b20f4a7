"""Files of policies and of interrupted trainings. Nothing in them is ever unpickled.

`policy.zip` is what Stable-Baselines3 saves, so its users can load it in their way, which runs code
from the file. Here an algorithm is built anew from the plain description that is added to it, and
only tensors are read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecEnvWrapper,
    VecTransposeImage,
    unwrap_vec_wrapper,
)

from mmrl.checkpoint import CheckpointError
from mmrl.files import write_atomically
from mmrl_agents.build import build_policy
from mmrl_agents.config import AgentConfig
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.noise import ActionNoiseConfig
from mmrl_agents.spaces import from_plain, to_plain
from mmrl_agents.vec_env import GymnasiumVecEnv

DESCRIPTION = "mmrl.json"
WEIGHTS = "policy.pth"
FORMAT = "mmrl-policy"
VERSION = 1


@dataclass(frozen=True)
class SavedPolicy:
    """A policy that was read from a file.

    Attributes:
        policy: In evaluation mode.
        config: Configuration of the agent.
        sensors: Observation space of the environment in which it was trained.
        on_latents: Whether it acts on latents of an encoder, instead of on observations.
        action_space: Action space of the environment; the policy chose from its
            `actions.policy_space`.
    """

    policy: BasePolicy
    config: AgentConfig
    sensors: spaces.Space[Any]
    on_latents: bool
    action_space: spaces.Space[Any]


def save_policy(model: BaseAlgorithm, config: AgentConfig, path: Path | str) -> None:
    """Writes `policy.zip`, whole or not at all.

    Args:
        model: From `build_agent`.
        config: What it was built from.
        path: Where to; an earlier file is replaced.

    Raises:
        OSError: The disk is full or the folder cannot be written; an earlier file is kept.
    """
    venv = model.get_env()
    assert venv is not None
    description = {
        "format": FORMAT,
        "version": VERSION,
        "config": asdict(config),
        "on_latents": unwrap_vec_wrapper(venv, LatentVecEnv) is not None,
        "observation_space": to_plain(model.observation_space),
        "action_space": to_plain(model.action_space),
        "sensors": to_plain(_sensors(venv)),
        "env_action_space": to_plain(_actions(venv)),
    }
    content = BytesIO()
    model.save(content)
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(DESCRIPTION, json.dumps(description, indent=2))
    write_atomically(Path(path), content.getvalue())


def load_policy(
    path: Path | str, device: torch.device | str = "cpu", checkpoint: Path | str | None = None
) -> SavedPolicy:
    """Reads a policy that `save_policy` wrote.

    Args:
        path: Path of the file.
        device: Where the policy is put.
        checkpoint: For a fine-tuned policy: any checkpoint of its encoder; the weights that are
            used are the policy's own.

    Raises:
        CheckpointError: The file is missing, damaged or foreign, or does not fit the checkpoint.
    """
    path = Path(path)
    description, weights = _read(path, torch.device(device))
    try:
        config = _config(description["config"])
        observation_space = from_plain(description["observation_space"])
        action_space = from_plain(description["action_space"])
        sensors = from_plain(description["sensors"])
        on_latents = bool(description["on_latents"])
        told = from_plain(description.get("env_action_space", description["action_space"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {DESCRIPTION} in it: {error!r}") from error
    if config.finetune and checkpoint is None:
        raise CheckpointError(f"{path} holds a fine-tuned policy: give its encoder's checkpoint")
    encoder = checkpoint if config.finetune else None
    policy = build_policy(config, observation_space, action_space, encoder).to(device)
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit its description: {error}"
        ) from error
    policy.set_training_mode(False)
    return SavedPolicy(policy, config, sensors, on_latents, told)


def load_weights(policy: BasePolicy, path: Path | str) -> None:
    """Fills a policy with the weights in a file of Stable-Baselines3; only tensors are read.

    Args:
        policy: From `build_policy`; put into evaluation mode.
        path: Path of a zip that an algorithm's `save` wrote.

    Raises:
        CheckpointError: The file is missing or damaged, or its policy has another form.
    """
    path = Path(path)
    with _reading(path), zipfile.ZipFile(path) as archive:
        weights = BytesIO(archive.read(WEIGHTS))
        tensors = torch.load(weights, map_location=policy.device, weights_only=True)
    try:
        policy.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise CheckpointError(
            f"the weights in {path} are not of such a {type(policy).__name__}: {first}"
        ) from error
    policy.set_training_mode(False)


def _sensors(venv: VecEnv) -> spaces.Space[Any]:
    """What the environment's sensors deliver, before it is encoded or its axes are turned."""
    while isinstance(venv, VecEnvWrapper):
        turns = isinstance(venv, LatentVecEnv | VecTransposeImage)
        if not turns and venv.observation_space != venv.venv.observation_space:
            break
        venv = venv.venv
    return venv.observation_space


def _actions(venv: VecEnv) -> spaces.Space[Any]:
    """What the environments take."""
    bare = venv.unwrapped
    return bare.envs.single_action_space if isinstance(bare, GymnasiumVecEnv) else bare.action_space


def _read(path: Path, device: torch.device) -> tuple[Mapping[str, Any], Mapping[str, torch.Tensor]]:
    with _reading(path), zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read(DESCRIPTION))
        weights = BytesIO(archive.read(WEIGHTS))
        tensors = torch.load(weights, map_location=device, weights_only=True)
    if description.get("format") != FORMAT or description.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has format {description.get('format')!r}, version "
            f"{description.get('version')!r}; this release reads {FORMAT!r}, {VERSION}"
        )
    return description, tensors


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no policy at {path}") from error
    except KeyError as error:
        raise CheckpointError(
            f"{path} is damaged or no policy of this package: {error.args[0]} (a plain "
            "Stable-Baselines3 file is loaded with its own algorithm's load)"
        ) from error
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, UnpicklingError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _config(plain: Mapping[str, Any]) -> AgentConfig:
    settings = dict(plain)
    noise = ActionNoiseConfig(**settings.pop("action_noise"))
    return AgentConfig(action_noise=noise, **settings)
