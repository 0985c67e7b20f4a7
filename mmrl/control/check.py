"""Whether the settings of a control run fit its environment, asked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmrl.control.config import ConditionConfig, TrainConfig
from mmrl.control.envs import Envs, make_envs
from mmrl.methods import METHODS
from mmrl.modality import Modality
from mmrl.runs.device import check_device
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.runs.pretrained_encoder import pretrained_encoder
from mmrl.settings import ConfigError
from mmrl.training.augment import Augment
from mmrl_agents.config import check_actions
from mmrl_envs import VectorSensorDropout


def check_environment(config: TrainConfig) -> None:
    """Makes what a run needs once and throws it away, to refuse bad settings before any work.

    Raises:
        ConfigError: The environment cannot be made or has no Dict observation, or the method, the
            agent, or faults of training or evaluation do not fit it.
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
        if config.encoder is not None:
            pretrained_encoder(config.encoder, modalities)
        elif config.method_settings is not None:
            METHODS[config.method](modalities, config.method_settings)
            Augment(config.fit.augment, modalities)
        _check_training_faults(config, envs)
        _check_conditions(config.evaluate.conditions, envs)
        check_actions(config.agent.algorithm, envs.single_action_space)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"env {config.env.id!r}: {error}") from error
    finally:
        envs.close()


def check_trained(run: RunFolder, config: TrainConfig) -> None:
    """Refuses a folder that has no trained policy.

    Raises:
        RunFolderError: It has none; what to do is said.
    """
    if config.comparison.variants:
        seed = config.comparison.seeds[0]
        members = ", ".join(f"{run.path}/{name}-seed{seed}" for name in config.comparison.variants)
        raise RunFolderError(
            f"{run.path} is a comparison of several agents; name the folder of one: {members}"
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


def _check_training_faults(config: TrainConfig, envs: Envs) -> None:
    keep = config.faults.keep_at_least
    _check_faults("faults", config.faults.models, envs, keep)
    for name, variant in config.comparison.variants.items():
        _check_faults(f"comparison.variants.{name}", variant.faults, envs, keep)


def _check_conditions(conditions: Sequence[ConditionConfig], envs: Envs) -> None:
    for condition in conditions:
        _check_faults(f"condition {condition.name!r}", condition.faults, envs, 0)


def _check_faults(
    where: str, faults: Sequence[dict[str, Any]], envs: Envs, keep_at_least: int
) -> None:
    try:
        VectorSensorDropout(envs, faults, keep_at_least=keep_at_least)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error
