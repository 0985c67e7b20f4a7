"""What an agent is built from: plain settings, checked before any work."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from mmrl.renamed import new_name
from mmrl_agents.noise import ActionNoiseConfig
from mmrl_agents.paper.ddpg import PaperDDPGPolicy
from mmrl_agents.ranges import check_arguments, check_widths

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ddpg": DDPG,
    "td3": TD3,
    "sac": SAC,
    "dqn": DQN,
    "ppo": PPO,
    "a2c": A2C,
}
RECURRENT = "recurrent_ppo"
"""In the extra `contrib`, imported on use."""

CONTINUOUS, DISCRETE = ("ddpg", "td3", "sac"), ("dqn",)
"""Algorithms whose actions are a Box, and those whose actions are Discrete; others take both."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}
ACTION_RULES = ("scaled", "paper")
INITIALIZATIONS = ("default", "xavier_uniform")
SCHEDULES = ("constant", "linear")
AUTO = "auto"
ACTION_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)

NOT_IN_ARGUMENTS = {
    "action_noise",
    "device",
    "env",
    "policy",
    "policy_kwargs",
    "replay_buffer_class",
    "rollout_buffer_class",
    "seed",
    "tensorboard_log",
}
"""Constructor arguments of algorithms that are set elsewhere, or are no plain data."""

NOT_IN_POLICY_KWARGS = {
    "action_space",
    "features_extractor_class",
    "features_extractor_kwargs",
    "lr_schedule",
    "observation_space",
    "optimizer_class",
    "use_sde",
}
"""The same of policies."""


@dataclass(frozen=True)
class AgentConfig:
    """A Stable-Baselines3 agent.

    Args:
        algorithm: `sac`, `td3`, `ddpg` (continuous actions), `dqn` (discrete ones), `ppo`, `a2c`,
            or `recurrent_ppo` (extra `contrib`).
        total_timesteps: Environment steps of the training, all environments together.
        n_envs: Environments that are stepped at once.
        policy: A name that the algorithm knows, or `PaperDDPGPolicy` (ddpg, td3); `auto`: an MLP
            on latents, the multi-input policy on Dict observations. Or the path of a zip that
            Stable-Baselines3 saved, of a policy that was trained on what the environment returns
            without its wrappers: it is taken as it is, and of the file only tensors are read.
        policy_kwargs: `net_arch`, `activation_fn` (by name), and what else the policy class takes.
        arguments: What the algorithm's constructor takes, e.g. `learning_rate`, `gamma`.
        action_noise: Exploration noise of off-policy algorithms with continuous actions.
        learning_rate_schedule: `constant`, or `linear`: to zero at the last step.
        decay_from: Share of the steps after which a linear schedule begins to fall, in [0, 1).
        initialization: `default`, or `xavier_uniform` weights in the policy's linear layers.
        action_rule: `scaled`: a policy's actions cover the environment's range. `paper`: see
            `mmrl_agents.paper.rules.UnitActions`.
        terminal_time_limit: Whether a time limit counts as a true end; see
            `mmrl_agents.paper.rules.TerminalTimeLimit`.
        normalize: Whether a policy without an encoder sees its floating channels with mean 0 and
            variance 1: by statistics that run along with the training, see only what was not
            missing, and are saved with the run. (Encoders know the statistics of what they were
            pretrained on.)
        finetune: Whether the policy's losses train the encoder as well, instead of learning on its
            latents.
        sees: Names of the sensors that the policy sees, instead of latents or of the whole
            observation; none: it sees all. A belief fills in those of them that are missing.
        vec_normalize: Path of what `VecNormalize.save` wrote, for a zip that was trained behind it.

    Raises:
        ValueError: An unknown name or argument (the known ones are listed), or a bad value.
        ImportError: The algorithm needs an extra that is not installed.

    Example:
        >>> AgentConfig(algorithm="sac", arguments={"gama": 0.98})
        Traceback (most recent call last):
        ValueError: unknown argument of sac: gama; known: batch_size, buffer_size, ent_coef, ...
    """

    algorithm: str = "sac"
    total_timesteps: int = 80_000
    n_envs: int = 32
    policy: str = AUTO
    policy_kwargs: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    action_noise: ActionNoiseConfig = field(default_factory=ActionNoiseConfig)
    learning_rate_schedule: str = "linear"
    decay_from: float = 0.5
    initialization: str = "default"
    action_rule: str = "scaled"
    terminal_time_limit: bool = False
    normalize: bool = False
    finetune: bool = False
    sees: tuple[str, ...] = ()
    vec_normalize: str | None = None

    def __post_init__(self) -> None:
        algorithm = algorithm_class(self.algorithm)
        for name in ("total_timesteps", "n_envs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.decay_from < 1:
            raise ValueError(f"decay_from must be at least 0 and below 1, got {self.decay_from}")
        _check_name("learning_rate_schedule", self.learning_rate_schedule, SCHEDULES)
        _check_name("initialization", self.initialization, INITIALIZATIONS)
        _check_name("action_rule", self.action_rule, ACTION_RULES)
        if not self.brought:
            _check_name("policy", self.policy, [AUTO, *policies(self.algorithm)])
        elif self.sees or self.finetune or self.normalize:
            raise ValueError(
                f"policy={self.policy!r} is trained already: sees, finetune and normalize mean "
                "nothing for it; its statistics are vec_normalize"
            )
        known = constructor_arguments(algorithm) - NOT_IN_ARGUMENTS
        _check_arguments(self.algorithm, self.arguments, known)
        known = constructor_arguments(policy_class(self)) - NOT_IN_POLICY_KWARGS
        _check_arguments(f"policy_kwargs of {self.algorithm}", self.policy_kwargs, known)
        activation = self.policy_kwargs.get("activation_fn", "relu")
        _check_name("policy_kwargs.activation_fn", activation, ACTIVATIONS)
        if self.sees and self.finetune:
            raise ValueError("finetune trains an encoder, which a policy on agent.sees has not")
        explores = "action_noise" in constructor_arguments(algorithm)
        check_arguments(self.algorithm, self.arguments)
        check_widths(self.policy_kwargs.get("net_arch", []))
        if self.finetune and self.normalize:
            raise ValueError(
                "normalize is for policies without an encoder, and finetune for those with one: "
                "set one of them to false"
            )
        if self.action_noise.name != "none" and not explores:
            raise ValueError(
                f"{self.algorithm} explores in its own way and takes no action noise, got "
                f"action_noise.name={self.action_noise.name!r}; set it to 'none'"
            )

    @property
    def brought(self) -> bool:
        """Whether the policy is a zip that was trained elsewhere."""
        return self.policy.endswith(".zip")

    @property
    def without_encoder(self) -> bool:
        """Whether the policy sees sensors, though the run may have an encoder for its belief."""
        return bool(self.sees) or self.brought


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    """The algorithm of a name.

    Raises:
        ValueError: The name is unknown.
        ImportError: The extra that it needs is not installed.
    """
    _check_name("algorithm", name, [*ALGORITHMS, RECURRENT])
    if name != RECURRENT:
        return ALGORITHMS[name]
    try:
        from sb3_contrib import RecurrentPPO
    except ImportError as error:
        raise ImportError(
            f"{RECURRENT} needs sb3-contrib, which is an extra: pip install 'mmrl[contrib]'"
        ) from error
    return RecurrentPPO


def check_actions(algorithm: str, space: spaces.Space[Any]) -> None:
    """Whether an algorithm can choose actions of a space.

    Raises:
        ValueError: It cannot; the algorithms that can are named.

    Example:
        >>> check_actions("sac", spaces.Discrete(6))
        Traceback (most recent call last):
        ValueError: sac cannot choose from the actions Discrete(6); algorithms that can: dqn, ...
    """
    discrete = isinstance(space, spaces.Discrete)
    continuous = isinstance(space, spaces.Box)
    able = [
        name
        for name in (*ALGORITHMS, RECURRENT)
        if (discrete or name not in DISCRETE) and (continuous or name not in CONTINUOUS)
    ]
    if not isinstance(space, ACTION_SPACES):
        kinds = ", ".join(kind.__name__ for kind in ACTION_SPACES)
        raise ValueError(f"no algorithm can choose from the actions {space}; it must be: {kinds}")
    if isinstance(space, spaces.Box) and not np.isfinite([space.low, space.high]).all():
        raise ValueError(
            f"the actions {space} have no bounds, which every algorithm needs: add "
            "{name: bound_actions, low: -1, high: 1} to env.wrappers, with bounds that make sense"
        )
    if algorithm not in able:
        raise ValueError(
            f"{algorithm} cannot choose from the actions {space}; algorithms that can: "
            f"{', '.join(able)}"
        )


def policies(algorithm: str) -> dict[str, type[BasePolicy]]:
    """The policy classes of an algorithm, by name."""
    known = dict(algorithm_class(algorithm).policy_aliases)
    if algorithm in ("ddpg", "td3"):
        known[PaperDDPGPolicy.__name__] = PaperDDPGPolicy
    return known


def policy_class(config: AgentConfig, is_dict: bool = False) -> type[BasePolicy]:
    """The policy class of a configuration, for Dict observations or for vectors."""
    name = config.policy
    if name == AUTO or config.brought:
        kind = "MultiInput" if is_dict else "Mlp"
        name = f"{kind}LstmPolicy" if config.algorithm == RECURRENT else f"{kind}Policy"
    return policies(config.algorithm)[name]


def constructor_arguments(cls: type) -> set[str]:
    """Names of what a class is constructed with, base classes included where it passes on."""
    names: set[str] = set()
    for base in cls.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        kinds = {parameter.kind for parameter in parameters}
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return {name for name in names if name != "self" and not name.startswith("_")}


def _check_name(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ValueError(f"{what} is {name!r}; known: {', '.join(known)}")


def _check_arguments(what: str, arguments: Iterable[str], known: set[str]) -> None:
    for name in arguments:
        if name not in known and (now := new_name(name, known)):
            raise ValueError(f"{what}: {name} is called {now} now")
    if unknown := sorted(set(arguments) - known):
        raise ValueError(
            f"unknown argument of {what}: {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
