"""Behaviour policies, which collect observations: random, given, or warmed up without wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from jaxtyping import Bool
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from mmrl.checkpoint import CheckpointError
from mmrl_agents.acting import Acting, PolicyMemory
from mmrl_agents.actions import policy_space
from mmrl_agents.agent import Agent
from mmrl_agents.build import build_policy
from mmrl_agents.checkpoints import load_weights
from mmrl_agents.config import AgentConfig
from mmrl_agents.missing import zero_missing

RAW = "raw_observation"

Observations = Mapping[str, NDArray[Any]]
Chooses = Callable[[Observations, Any, Bool[np.ndarray, " envs"]], NDArray[Any]]
"""Actions for (observations, raw observations, which environments have just started)."""


class RawInInfo(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Tells an environment's observation in its info as well, before other wrappers change it.

    Args:
        env: The bare environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, RAW: observation}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Passes an action on."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, RAW: observation}


class Behaviour(VectorWrapper[Any, Any, Any, Any, Any]):
    """A vector environment with somebody who acts in it, now and then at random.

    Args:
        envs: Resets in the step in which an episode ends; its infos may have `RAW`.
        chooses: The policy.
        random_episodes: Share of episodes in which every action is random, in [0, 1].
        random_actions: Share of the steps of the other episodes, in [0, 1].
        seed: Seed of what is random.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        chooses: Chooses,
        *,
        random_episodes: float = 0.0,
        random_actions: float = 0.0,
        seed: int,
    ) -> None:
        super().__init__(envs)
        self.chooses = chooses
        self.random_episodes = random_episodes
        self.random_actions = random_actions
        self._generator = np.random.default_rng(seed)
        self._first = np.ones(envs.num_envs, np.bool_)
        self._wild = np.zeros(envs.num_envs, np.bool_)
        self._raw: Any = None

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode everywhere."""
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        self._remember(np.ones(self.num_envs, np.bool_), infos)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Passes actions on."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._remember(np.logical_or(terminated, truncated), infos)
        return observations, rewards, terminated, truncated, infos

    def act(self, observations: Observations) -> NDArray[Any]:
        """Actions for the latest observations."""
        chosen = self.chooses(observations, self._raw, self._first)
        random = np.asarray(self.action_space.sample())
        drawn = self._generator.random(self.num_envs) < self.random_actions
        at_random = (self._wild | drawn).reshape(-1, *[1] * (random.ndim - 1))
        return np.where(at_random, random, chosen).astype(random.dtype)

    def _remember(self, first: NDArray[np.bool_], infos: Mapping[str, Any]) -> None:
        self._first = first
        drawn = self._generator.random(self.num_envs) < self.random_episodes
        self._wild = np.where(first, drawn, self._wild)
        raw = infos.get(RAW)
        if isinstance(raw, Mapping):  # masks of who has an entry stand beside the entries
            raw = {name: values for name, values in raw.items() if not name.startswith("_")}
        self._raw = raw


def acts_on_sensors(acting: Acting) -> Chooses:
    """A policy that sees what the sensors deliver."""
    return lambda observations, _, first: acting.act(observations, first)


def acts_on_raw(policy: BasePolicy, action_space: spaces.Space[Any]) -> Chooses:
    """A policy that sees what the bare environment returns; it draws its actions.

    Args:
        policy: Chooses from the `actions.policy_space` of that environment.
        action_space: Action space of the environment.
    """
    memory = PolicyMemory(policy, deterministic=False, action_space=action_space)
    return lambda observations, raw, first: memory.predict(
        zero_missing(observations if raw is None else raw), first
    )


def load_behaviour(
    path: Path,
    config: AgentConfig,
    envs: VectorEnv[Any, Any, Any],
    bare: VectorEnv[Any, Any, Any],
) -> Chooses:
    """A given policy; nothing in its file is unpickled.

    Args:
        path: Folder of a run whose policy is trained, with the sensors of `envs`; or a zip that
            Stable-Baselines3 saved, of a policy on the observations of `bare`.
        config: Algorithm and `policy_kwargs` of that zip.
        envs: What the policy will act in.
        bare: These environments without wrappers.

    Raises:
        CheckpointError: There is no policy, it is damaged, or it does not fit.
    """
    if path.is_dir():
        agent = Agent.load(path)
        agent.acting.memory.deterministic = False
        here: Any = envs.single_observation_space
        theirs = {name: space.shape for name, space in agent.sensors.items()}
        ours = {name: space.shape for name, space in here.items()}
        if theirs != ours:
            raise CheckpointError(f"the policy in {path} has the sensors {theirs}, here are {ours}")
        _check_actions(path, agent.action_space, envs.single_action_space)
        return acts_on_sensors(agent.acting)
    chosen = policy_space(bare.single_action_space)
    policy = build_policy(config, bare.single_observation_space, chosen)
    load_weights(policy, path)
    return acts_on_raw(policy, bare.single_action_space)


def _check_actions(path: Path, theirs: spaces.Space[Any], ours: spaces.Space[Any]) -> None:
    if theirs != ours:
        raise CheckpointError(f"the policy in {path} chooses from {theirs}, here from {ours}")
