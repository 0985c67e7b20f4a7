"""Files of policies and of interrupted trainings. Nothing in them is ever unpickled.

`policy.zip` is what Stable-Baselines3 saves, so its users can load it in their way, which runs code
from the file. Here an algorithm is built anew from the plain description that is added to it, and
only tensors are read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
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

from mmrl.checkpoint import CheckpointError, fingerprint, first_misfit
from mmrl.files import FileError, brief, check_archive, open_plain, write_atomically
from mmrl.settings import typed
from mmrl.weights import check_finite, load_tensors, no_larger_than
from mmrl_agents.build import build_policy
from mmrl_agents.config import AgentConfig
from mmrl_agents.latent import LatentVecEnv
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
        encoder_sha256: Fingerprint of that encoder; None where there is none, and in files of
            older releases.
        layout: Places of each sensor's numbers, where it sees several in one flat observation.
    """

    policy: BasePolicy
    config: AgentConfig
    sensors: spaces.Space[Any]
    on_latents: bool
    action_space: spaces.Space[Any]
    encoder_sha256: str | None = None
    layout: Mapping[str, Sequence[int]] | None = None


def save_policy(
    model: BaseAlgorithm,
    config: AgentConfig,
    path: Path | str,
    sensors: spaces.Space[Any] | None = None,
) -> None:
    """Writes `policy.zip`, whole or not at all.

    Args:
        model: From `build_agent`.
        config: What it was built from.
        path: Where to; an earlier file is replaced.
        sensors: What the environment delivers, where the policy was trained on some of it; None:
            what the model's environment delivers.

    Raises:
        OSError: The disk is full or the folder cannot be written; an earlier file is kept.
    """
    venv = model.get_env()
    assert venv is not None
    latents = unwrap_vec_wrapper(venv, LatentVecEnv)
    encoder = latents.memory.encoder if isinstance(latents, LatentVecEnv) else None
    description = {
        "format": FORMAT,
        "version": VERSION,
        "config": asdict(config),
        "on_latents": encoder is not None,
        "encoder_sha256": None if encoder is None else fingerprint(encoder),
        "observation_space": to_plain(model.observation_space),
        "action_space": to_plain(model.action_space),
        "sensors": to_plain(_sensors(venv) if sensors is None else sensors),
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
        layout = description.get("layout")
        of = description.get("encoder_sha256")
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {brief(error)}"
        raise CheckpointError(f"{path} is damaged: {DESCRIPTION} in it ({what})") from error
    if config.finetune and checkpoint is None:
        raise CheckpointError(f"{path} holds a fine-tuned policy: give its encoder's checkpoint")
    encoder = checkpoint if config.finetune else None
    try:
        with no_larger_than(weights.values()):
            policy = build_policy(config, observation_space, action_space, encoder).to(device)
    except CheckpointError:
        raise
    except Exception as error:  # nobody has checked the arguments in it
        what = f"{type(error).__name__}: {brief(error)}"
        raise CheckpointError(f"{path} does not describe a policy ({what})") from error
    _fill(policy, weights, f"the weights in {path} do not fit its description")
    digest = None if of is None else str(of)
    return SavedPolicy(policy, config, sensors, on_latents, told, digest, layout)


def load_weights(policy: BasePolicy, path: Path | str) -> None:
    """Fills a policy with the weights in a file of Stable-Baselines3; only tensors are read.

    Args:
        policy: From `build_policy`; put into evaluation mode.
        path: Path of a zip that an algorithm's `save` wrote.

    Raises:
        CheckpointError: The file is missing or damaged, or its policy has another form.
    """
    path = Path(path)
    with _opened(path) as archive:
        tensors = _weights(archive, policy.device)
    _fill(policy, tensors, f"the weights in {path} are not of such a {type(policy).__name__}")


def _fill(policy: BasePolicy, weights: Mapping[str, torch.Tensor], misfit: str) -> None:
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{misfit}: {first_misfit(error)}") from error
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
    with _opened(path) as archive:
        description = json.loads(archive.read(DESCRIPTION))
        tensors = _weights(archive, device)
    if not isinstance(description, Mapping):
        raise CheckpointError(f"{path} is damaged: {DESCRIPTION} in it describes nothing")
    if description.get("format") != FORMAT or description.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has format {str(description.get('format'))[:20]!r}, version "
            f"{str(description.get('version'))[:20]}; this release reads {FORMAT!r}, {VERSION}"
        )
    return description, tensors


def _weights(archive: zipfile.ZipFile, device: torch.device) -> Mapping[str, torch.Tensor]:
    tensors = load_tensors(archive.read(WEIGHTS), device)
    if not isinstance(tensors, Mapping) or not all(
        isinstance(tensor, torch.Tensor) for tensor in tensors.values()
    ):
        raise FileError("its weights are no tensors by name")
    check_finite(tensors)
    return tensors


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            check_archive(archive)
            yield archive
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no policy at {path}") from error
    except KeyError as error:
        raise CheckpointError(
            f"{path} is damaged or no policy of this package: {brief(error)} (a plain "
            "Stable-Baselines3 file is loaded with its own algorithm's load)"
        ) from error
    except Exception as error:  # what damaged archives raise has no end
        where = "" if str(path) in str(error) else f"{path} is damaged: "
        raise CheckpointError(f"{where}{brief(error)}") from error


def _config(plain: Any) -> AgentConfig:
    return typed(AgentConfig, plain, "config")
