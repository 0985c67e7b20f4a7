"""Whether the settings of a control run fit its environment, asked before any work."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from mmrl.control.brought import read_brought
from mmrl.control.config import ConditionConfig, TrainConfig
from mmrl.control.envs import Envs, make_envs, with_faults
from mmrl.control.first_steps import Observation, first_steps
from mmrl.control.seen import seen_env
from mmrl.methods import METHODS, Method
from mmrl.methods.supervised import Supervised
from mmrl.modality import Modality
from mmrl.runs.device import check_device
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.runs.pretrained_encoder import pretrained_encoder
from mmrl.runs.sweep import run_names
from mmrl.settings import ConfigError
from mmrl.subsets import chosen_subsets
from mmrl.training.augment import Augment
from mmrl_agents.belief.config import NO_BELIEF
from mmrl_agents.belief.teacher import check_teachable
from mmrl_agents.config import RECURRENT, check_actions
from mmrl_agents.trial import check_agent
from mmrl_envs import VectorNormalizeChannels, VectorSensorDropout


def check_environment(config: TrainConfig) -> None:
    """Tries what a run needs once and throws it away, to refuse bad settings before any work.

    The environment is reset and stepped, the method represents what it delivered, the agents are
    built with their arguments.

    Raises:
        ConfigError: The environment cannot be made, fails in its first steps, or has no Dict
            observation; or the method, the agent, or faults of training or evaluation do not fit.
    """
    check_device(config.device)
    envs = make_envs(config.env, 1)
    try:
        modalities = Modality.from_space(
            envs.single_observation_space,
            config.env.kinds,
            config.env.shared_scale,
            config.env.partial,
        )
        check_faults(config, envs)
        check_actions(config.agent.algorithm, envs.single_action_space)
        method = _method(config, modalities, first_steps(config.env, envs))
        _check_agent(config, envs, method)
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"env {config.env.id!r}: {error}") from error
    finally:
        envs.close()


def _method(
    config: TrainConfig, modalities: tuple[Modality, ...], seen: Observation
) -> Method | None:
    """What will represent observations, not trained yet, after it has represented some.

    Raises:
        ValueError: It cannot be built, or cannot take what the sensors deliver.
    """
    if config.encoder is not None:
        return pretrained_encoder(config.encoder, modalities)
    if config.method_settings is None:
        return None
    kind = METHODS[config.method]
    if issubclass(kind, Supervised):
        without = sorted(name for name, m in METHODS.items() if not issubclass(m, Supervised))
        raise ValueError(
            f"method {config.method!r} learns from labels, of which control has none: train it "
            f"with task=classification and give its folder as encoder=..., or take one of {without}"
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Initializing zero-element")  # refused below
            method = kind(modalities, config.method_settings).eval()
        if empty := [name for name, weight in method.named_parameters() if not weight.numel()]:
            raise ValueError(f"a layer has no width: {empty[0]}")
        with torch.inference_mode():
            method.encode({name: torch.from_numpy(seen[name]) for name in method.names})
    except RuntimeError as error:
        raise ValueError(f"method {config.method!r}: {' '.join(str(error).split())}") from error
    Augment(config.fit.augment, modalities)
    if config.collect.samples < config.fit.batch_size:
        raise ValueError(
            f"collect.samples={config.collect.samples} do not fill a batch: "
            f"fit.batch_size={config.fit.batch_size}"
        )
    return method


def _check_agent(config: TrainConfig, envs: Envs, encoder: Method | None) -> None:
    """Builds the agent.

    Raises:
        ValueError: It cannot be built.
    """
    if config.belief.name != NO_BELIEF:
        check_teachable(config.agent.algorithm == RECURRENT, envs.single_action_space)
    if config.agent.brought:
        read_brought(config)
        return
    seen = envs
    if config.agent.sees:
        seen, encoder = make_envs(seen_env(config.env, config.agent.sees), 1), None
    if config.agent.normalize and encoder is None:
        seen = VectorNormalizeChannels(seen)
    if config.policy_meets_faults:
        seen = with_faults(seen, config.faults)
    check_agent(config.agent, seen.single_observation_space, envs.single_action_space, encoder)


def check_trained(run: RunFolder, config: TrainConfig) -> None:
    """Refuses a folder that has no trained policy.

    Raises:
        RunFolderError: It has none; what to do is said.
    """
    if config.sweep.runs:
        names = ", ".join(f"{run.path}/{name}" for name in run_names(config.sweep))
        raise RunFolderError(
            f"{run.path} is a sweep of several runs; name the folder of one: {names}"
        )
    if not run.finished("train"):
        raise RunFolderError(
            f"{run.path} has no trained policy yet; finish it with: python -m mmrl.train "
            f"resume={run.path}"
        )


def check_conditions(config: TrainConfig) -> None:
    """Whether the faults of a run's conditions fit its environment.

    Raises:
        ConfigError: The environment cannot be made, or a fault names a sensor that does not exist
            or cannot befall it.
    """
    envs = make_envs(config.env, 1)
    try:
        _check_conditions(config.evaluate.conditions, envs)
    finally:
        envs.close()


def check_faults(config: TrainConfig, envs: Envs) -> None:
    """Whether the faults of training and of evaluation fit an environment.

    Raises:
        ConfigError: One names a sensor that does not exist, or cannot befall it.
    """
    names = [m.name for m in Modality.from_space(envs.single_observation_space, config.env.kinds)]
    chosen_subsets(names, config.evaluate.subsets)
    _check_conditions(config.evaluate.conditions, envs)
    _check_faults("faults", config.faults.models, envs, config.faults.keep_at_least)


def _check_conditions(conditions: Sequence[ConditionConfig], envs: Envs) -> None:
    for condition in conditions:
        _check_faults(f"condition {condition.name!r}", condition.faults, envs, 0)


def _check_faults(
    where: str, faults: Sequence[dict[str, Any]], envs: Envs, keep_at_least: int
) -> None:
    try:
        VectorSensorDropout(envs, faults, keep_at_least=keep_at_least)
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error
