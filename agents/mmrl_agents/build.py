"""From settings to an environment for training and a Stable-Baselines3 algorithm."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from torch import nn

from mmrl.methods.method import Method
from mmrl.modality import AVAILABLE
from mmrl_agents.actions import policy_space
from mmrl_agents.config import (
    ACTIVATIONS,
    ALGORITHMS,
    AgentConfig,
    algorithm_class,
    check_actions,
    constructor_arguments,
    policy_class,
)
from mmrl_agents.extractor import EncoderExtractor
from mmrl_agents.latent import LatentVecEnv, check_channels
from mmrl_agents.missing import MissingAsZeros
from mmrl_agents.noise import ActionNoiseConfig, ScheduledNoise
from mmrl_agents.paper.rules import TerminalTimeLimit, UnitActions

__all__ = [
    "ALGORITHMS",
    "ActionNoiseConfig",
    "AgentConfig",
    "build_agent",
    "build_policy",
    "training_env",
]

TARGETS = (("actor", "actor_target"), ("critic", "critic_target"), ("q_net", "q_net_target"))


class HoldThenFall:
    """A learning rate that stays, then falls linearly to zero at the end of the training.

    Args:
        rate: While it stays.
        decay_from: Share of the training after which it falls, in [0, 1).

    Example:
        >>> rate = HoldThenFall(0.2, decay_from=0.5)
        >>> rate(1.0), rate(0.5), rate(0.25), rate(0.0)  # share of the training that is left
        (0.2, 0.2, 0.1, 0.0)
    """

    def __init__(self, rate: float, decay_from: float) -> None:
        self.rate = rate
        self.falling_share = 1.0 - decay_from

    def __call__(self, progress_remaining: float | int) -> float:
        """The rate where this share of the training is left."""
        return self.rate * min(1.0, max(0.0, progress_remaining) / self.falling_share)


def training_env(
    config: AgentConfig,
    venv: VecEnv,
    encoder: Method | None = None,
    device: torch.device | str = "cpu",
) -> VecEnv:
    """What an agent is trained in: episodes recorded, the action rule, and latents or observations.

    Args:
        config: Configuration of the agent.
        venv: Any Stable-Baselines3 `VecEnv`.
        encoder: What represents Dict observations; None: the policy gets them as they are.
        device: Where the encoder runs.

    Raises:
        TypeError: An encoder, but no Dict observation.
        ValueError: The observation does not fit the encoder, or fine-tuning without `available` in
            it, or an action rule that the action space does not allow.
    """
    venv = VecMonitor(venv)
    if config.terminal_time_limit:
        venv = TerminalTimeLimit(venv)
    if config.action_rule == "paper":
        venv = UnitActions(venv)
    if encoder is None:
        return MissingAsZeros(venv)
    if not config.finetune:
        return LatentVecEnv(venv, encoder, device)
    check_channels(venv.observation_space, encoder.modalities)
    assert isinstance(venv.observation_space, spaces.Dict)
    if AVAILABLE not in venv.observation_space.spaces:
        raise ValueError(
            f"to fine-tune an encoder, the observation needs {AVAILABLE!r}, or the policy could "
            "never be told which sensors are missing: wrap the environment in mmrl_envs."
            "SensorDropout or VectorSensorDropout (with no faults, if none are wanted)"
        )
    return venv


def build_agent(
    config: AgentConfig,
    venv: VecEnv,
    *,
    seed: int,
    tensorboard_log: Path | str | None = None,
    device: torch.device | str = "cpu",
    checkpoint: Path | str | None = None,
) -> BaseAlgorithm:
    """Builds the algorithm.

    Args:
        config: Configuration of the agent.
        venv: From `training_env`.
        seed: Seed of weights, environments, warm-up actions and noise. Stable-Baselines3 seeds the
            global streams of Python, NumPy and torch with it.
        tensorboard_log: Folder for events.
        device: Where the policy lives.
        checkpoint: The encoder that is fine-tuned; needed with `finetune`.

    Raises:
        ValueError: A checkpoint without `finetune` or the other way round, a number of environments
            other than `config.n_envs`, actions that the algorithm cannot choose, or values that it
            refuses.
    """
    if config.finetune != (checkpoint is not None):
        raise ValueError(
            f"finetune={config.finetune} with checkpoint={checkpoint}: the checkpoint of the "
            "encoder is needed to fine-tune it, and for nothing else"
        )
    if venv.num_envs != config.n_envs:
        raise ValueError(f"{venv.num_envs} environments, but n_envs={config.n_envs} in the config")
    check_actions(config.algorithm, venv.action_space)
    if venv.action_space != policy_space(venv.action_space):
        raise ValueError(
            f"Stable-Baselines3 cannot choose from {venv.action_space} as it is: hand over the "
            "environments as mmrl_agents.vec_env.GymnasiumVecEnv, which translates"
        )
    algorithm = algorithm_class(config.algorithm)
    arguments: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config.arguments.items()
    }
    if config.learning_rate_schedule == "linear":
        default = inspect.signature(algorithm).parameters["learning_rate"].default
        rate = float(arguments.get("learning_rate", default))
        arguments["learning_rate"] = HoldThenFall(rate, config.decay_from)
    if issubclass(algorithm, OffPolicyAlgorithm) and config.action_noise.name != "none":
        arguments["action_noise"] = _noise(config, venv, arguments, seed)
    model = algorithm(
        policy_class(config, isinstance(venv.observation_space, spaces.Dict)),
        venv,
        policy_kwargs=_policy_kwargs(config, checkpoint),
        seed=seed,
        tensorboard_log=None if tensorboard_log is None else str(tensorboard_log),
        device=device,
        **arguments,
    )
    if config.initialization == "xavier_uniform":
        _initialize(model.policy)
    return model


def build_policy(
    config: AgentConfig,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    checkpoint: Path | str | None = None,
) -> BasePolicy:
    """The policy that `build_agent` would train, with fresh weights and nothing to train it with.

    Args:
        config: Configuration of the agent.
        observation_space: What the policy sees.
        action_space: What it chooses from.
        checkpoint: See `build_agent`.
    """
    chosen = policy_class(config, isinstance(observation_space, spaces.Dict))
    kwargs = _policy_kwargs(config, checkpoint)
    # What the algorithms' constructors add.
    if config.algorithm == "ddpg":
        kwargs.setdefault("n_critics", 1)
    if "use_sde" in constructor_arguments(chosen):
        kwargs["use_sde"] = bool(config.arguments.get("use_sde", False))
    return chosen(observation_space, action_space, lambda _: 0.0, **kwargs)


def _noise(
    config: AgentConfig, venv: VecEnv, arguments: dict[str, Any], seed: int
) -> ScheduledNoise:
    default = inspect.signature(algorithm_class(config.algorithm)).parameters["learning_starts"]
    start = int(arguments.get("learning_starts", default.default))
    action_dim = get_action_dim(venv.action_space)
    return ScheduledNoise(config.action_noise, action_dim, venv.num_envs, start=start, seed=seed)


def _policy_kwargs(config: AgentConfig, checkpoint: Path | str | None) -> dict[str, Any]:
    chosen = dict(config.policy_kwargs)
    if "activation_fn" in chosen:
        chosen["activation_fn"] = ACTIVATIONS[chosen.pop("activation_fn")]
    if checkpoint is not None:
        normalized = bool(chosen.get("normalize_images", True))
        chosen["features_extractor_class"] = EncoderExtractor
        chosen["features_extractor_kwargs"] = {
            "checkpoint": str(Path(checkpoint).resolve()),  # the policy's file is read elsewhere
            "normalized": normalized,
        }
    return chosen


def _initialize(policy: BasePolicy) -> None:
    """Xavier-uniform weights in all linear layers but the encoder's; targets start as copies."""
    policy.apply(_xavier)
    for source, target in TARGETS:
        if target in policy._modules:
            policy.get_submodule(target).load_state_dict(policy.get_submodule(source).state_dict())


def _xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
