"""Actions are within the action space of the environment, whatever it is: in training and after."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from mmrl_agents.actions import policy_space, to_env
from mmrl_agents.agent import Agent
from mmrl_agents.behaviour import load_behaviour
from mmrl_agents.build import AgentConfig, build_agent, build_policy, training_env
from mmrl_agents.checkpoints import save_policy
from mmrl_agents.config import check_actions
from mmrl_agents.robustness import evaluate, subset_conditions
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import vectorized

SPACES: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "discrete from one": spaces.Discrete(3, start=1),
    "discrete from below": spaces.Discrete(4, start=-2),
    "several": spaces.MultiDiscrete([2, 3]),
    "several from": spaces.MultiDiscrete([2, 3], start=[1, -5]),
    "table": spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, 0], [0, 9]])),
    "bits": spaces.MultiBinary(3),
    "table of bits": spaces.MultiBinary([2, 2]),
    "box": spaces.Box(-2, 2, (2,), np.float32),
    "wide box": spaces.Box(-0.1, 0.1, (2,), np.float64),
    "matrix": spaces.Box(0, 5, (2, 2), np.float32),
    "uneven box": spaces.Box(
        np.array([-3, 0.1], np.float32), np.array([-1, 0.3], np.float32), dtype=np.float32
    ),
    "integers": spaces.Box(-3, 5, (2,), np.int64),
    "bytes": spaces.Box(0, 255, (1,), np.uint8),
}
ALGORITHMS = ("sac", "td3", "ddpg", "dqn", "ppo", "a2c")


class Strict(gym.Env[Any, Any]):
    """Refuses actions that are not in its space; the reward is how far from zero they are."""

    observation_space = spaces.Dict({"touch": spaces.Box(-1, 1, (2,), np.float32)})

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.action_space = space
        self.seen: list[Any] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return {"touch": np.zeros(2, np.float32)}, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.seen.append(np.array(action))
        self.time += 1
        touch = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"touch": touch}, float(np.abs(action).sum()), False, self.time == 8, {}


def can(algorithm: str, space: spaces.Space[Any]) -> bool:
    try:
        check_actions(algorithm, space)
    except ValueError:
        return False
    return True


PAIRS = [(a, name) for a in ALGORITHMS for name, space in SPACES.items() if can(a, space)]


def small(algorithm: str) -> AgentConfig:
    arguments: dict[str, Any] = {"learning_starts": 8, "batch_size": 4, "buffer_size": 64}
    if algorithm in ("ppo", "a2c"):
        arguments = {"n_steps": 8} | ({"batch_size": 8} if algorithm == "ppo" else {})
    kwargs = {"net_arch": [8]}
    return AgentConfig(algorithm, n_envs=2, arguments=arguments, policy_kwargs=kwargs)


@pytest.mark.parametrize(("algorithm", "name"), PAIRS)
def test_actions_are_in_the_space(algorithm: str, name: str, tmp_path: Path) -> None:
    space = SPACES[name]
    envs = vectorized(partial(Strict, space))
    config = small(algorithm)
    venv = training_env(config, GymnasiumVecEnv(envs))
    model = build_agent(config, venv, seed=0)
    model.learn(48)
    save_policy(model, config, tmp_path / "policy.zip")
    agent = Agent.load(tmp_path)
    assert agent.action_space == space
    for deterministic in (True, False):
        for _ in range(8):
            assert space.contains(agent.act({"touch": [0.1, 0.2]}, deterministic))
    make = partial(vectorized, partial(Strict, space))
    evaluate(agent, lambda n: make(num_envs=n), subset_conditions(["touch"]), episodes=2, seed=0)
    bare = vectorized(partial(Strict, space))
    for given in (tmp_path, tmp_path / "policy.zip"):
        chooses = load_behaviour(given, config, bare, bare)
        observations, _ = bare.reset(seed=1)
        for action in chooses(observations, None, np.ones(2, np.bool_)):
            assert space.contains(space.sample() if action is None else _typed(action, space))


def _typed(action: Any, space: spaces.Space[Any]) -> Any:
    """Rows of an array of choices are NumPy's numbers, as environments get them."""
    return action if not isinstance(space, spaces.Discrete) else np.int64(action)


@pytest.mark.parametrize("name", SPACES)
def test_every_choice_of_a_policy_is_one_of_the_environment(name: str) -> None:
    space, chosen = SPACES[name], policy_space(SPACES[name])
    chosen.seed(0)
    choices = np.stack([np.asarray(chosen.sample()) for _ in range(4000)])
    told = to_env(choices, space)
    assert all(space.contains(_typed(action, space)) for action in told)
    if np.dtype(space.dtype).kind != "f":
        assert len(np.unique(told)) == len(
            np.unique(np.stack([space.sample() for _ in range(4000)]))
        )


def test_bounds_of_wider_types_hold() -> None:
    space = SPACES["wide box"]
    edge = to_env(np.array([[0.1, -0.1], [7, -7]], np.float32), space)
    assert all(space.contains(action) for action in edge)


def test_what_is_not_translated_is_refused() -> None:
    config = small("dqn")
    venv = DummyVecEnv([partial(Strict, spaces.Discrete(3, start=1))] * 2)
    with pytest.raises(
        ValueError, match=r"cannot choose from Discrete\(3, start=1\).*GymnasiumVec"
    ):
        build_agent(config, training_env(config, venv), seed=0)


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg", "ppo", "a2c"])
@pytest.mark.parametrize("high", [np.inf, np.array([1, np.inf])])
def test_actions_without_bounds_are_refused_with_what_to_do(algorithm: str, high: Any) -> None:
    space = spaces.Box(-1, np.broadcast_to(high, 2).astype(np.float32), (2,), np.float32)
    with pytest.raises(ValueError, match=r"no bounds.*\{name: bound_actions, low: -1, high: 1\}"):
        check_actions(algorithm, space)


def test_a_policy_without_training_knows_the_space_too() -> None:
    space = SPACES["table"]
    policy = build_policy(small("ppo"), Strict.observation_space, policy_space(space))
    actions, _ = policy.predict({"touch": np.zeros((3, 2), np.float32)})
    assert all(space.contains(action) for action in to_env(np.asarray(actions), space))
