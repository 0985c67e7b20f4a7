"""Files of a belief: weights as safetensors, and what is needed to build it again as YAML."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from safetensors.torch import save as save_tensors

from mmrl.checkpoint import CheckpointError, fingerprint, read_description
from mmrl.checkpoint import load as load_encoder
from mmrl.files import FileError, brief, read_bytes, write_atomically, yaml_text
from mmrl.settings import typed
from mmrl.weights import MOST, load_safetensors, no_larger_than
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.belief.acting import BeliefPolicy
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.network import BeliefNetwork, Sizes
from mmrl_agents.belief.senses import Senses
from mmrl_agents.belief.sight import Sight
from mmrl_agents.belief.teacher import Teacher
from mmrl_agents.belief.training import Task
from mmrl_envs.faults.fault import Fault

FORMAT, VERSION = "mmrl-belief", 1
WEIGHTS, DESCRIPTION = "belief.safetensors", "belief.yaml"
ENCODER = "encoder.yaml"


def has_belief(folder: Path) -> bool:
    """Whether a run folder has a belief."""
    return (folder / DESCRIPTION).is_file()


def save_belief(policy: BeliefPolicy, folder: Path) -> None:
    """Writes both files, each whole or not at all.

    Args:
        policy: With the belief that is saved.
        folder: Where to; it must hold what the policy is loaded from.
    """
    network = policy.believer.network
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    content = save_tensors(weights)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "head": policy.head,
        "sizes": network.sizes.plain(),
        **_described(policy.sight, policy.believer.teacher, policy.believer.senses),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(folder / WEIGHTS, content)
    write_atomically(folder / DESCRIPTION, yaml_text(description).encode())


def load_belief_policy(
    folder: Path,
    acting: LatentPolicy | ObservationPolicy,
    sensors: Mapping[str, spaces.Space[Any]],
    device: torch.device | str = "cpu",
) -> BeliefPolicy:
    """Reads a belief and puts it behind the policy of its run.

    Args:
        folder: Folder of the run.
        acting: Its policy, as it acts without a belief.
        sensors: A space for each sensor of the environment.
        device: Where the belief is put.

    Raises:
        CheckpointError: A file is missing, damaged, or of another run.
    """
    task = for_policy(folder, acting, sensors, device)
    network, head = _load(folder, _described(task.sight, task.teacher, task.senses), device)
    return task.policy(network, head)


def for_policy(
    folder: Path,
    acting: LatentPolicy | ObservationPolicy,
    sensors: Mapping[str, spaces.Space[Any]],
    device: torch.device | str = "cpu",
    faults: Sequence[Fault] = (),
) -> Task:
    """What a belief needs to know of the policy of a run folder, and of its encoder if it has one.

    Raises:
        CheckpointError: The encoder cannot be read, or the policy can have no belief.
    """
    encoder = None
    if not isinstance(acting, LatentPolicy) and (folder / ENCODER).is_file():
        encoder = load_encoder(folder, device=device)
    try:
        return Task.of(acting, sensors, encoder, faults=faults, device=device)
    except ValueError as error:
        raise CheckpointError(f"no belief for the policy in {folder}: {error}") from error


def _load(
    folder: Path, expected: Mapping[str, Any], device: torch.device | str
) -> tuple[BeliefNetwork, str]:
    path, file = folder / DESCRIPTION, folder / WEIGHTS
    wanted = {"head", "sizes", "weights_sha256", *expected}
    description = read_description(path, of="belief", form=FORMAT, version=VERSION, wanted=wanted)
    try:
        content = read_bytes(file, MOST)
    except (OSError, FileError) as error:
        raise CheckpointError(f"cannot read {file}: {brief(error)}") from error
    if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
        raise CheckpointError(f"{file} is damaged or belongs to another {path.name}")
    for name, value in expected.items():
        if description[name] != value:
            raise CheckpointError(
                f"the belief in {folder} is of another run: its {name} are "
                f"{description[name]}, here they are {value}"
            )
    try:
        weights = load_safetensors(content)
        with no_larger_than(weights.values()):
            network = BeliefNetwork(typed(Sizes, description["sizes"], "sizes"))
        network.load_state_dict(weights)
        head = str(replace(BeliefConfig(), head=description["head"]).head)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not describe a belief: {brief(error)}") from error
    return network.to(device).eval(), head


def _described(sight: Sight, teacher: Teacher, senses: Senses) -> dict[str, Any]:
    return {
        "sensors": list(sight.sensors),
        "sees": [f"{part.name}: {part.size}" for part in sight.parts],
        "looks_at": list(senses.looked_at),
        "policy_sha256": fingerprint(teacher.policy),
        "encoder_sha256": None if senses.encoder is None else fingerprint(senses.encoder),
    }
