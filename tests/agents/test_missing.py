"""A policy without an encoder never sees NaN."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_agents.acting import ObservationPolicy
from mmrl_agents.build import AgentConfig, build_agent, training_env
from mmrl_agents.missing import MissingAsZeros, zero_missing
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import vectorized

DICT = spaces.Dict(
    {"a": spaces.Box(-9, 9, (2,), np.float32), "b": spaces.Box(0, 255, (1,), np.uint8)}
)


class Failing(gym.Env[Any, Any]):
    """Every second reading of `a` has a NaN, also the last one of an episode."""

    observation_space: spaces.Space[Any] = DICT
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def observe(self) -> Any:
        a = np.full(2, self.time, np.float32)
        a[0] = np.nan if self.time % 2 else a[0]
        return {"a": a, "b": np.array([self.time], np.uint8)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self.observe(), 0.0, False, self.time == 3, {}


class Flat(Failing):
    observation_space: spaces.Space[Any] = DICT["a"]

    def observe(self) -> Any:
        return super().observe()["a"]


def test_a_reading_with_nan_is_zeros_as_a_whole() -> None:
    venv = MissingAsZeros(GymnasiumVecEnv(vectorized(Failing)))
    seen: list[Any] = [venv.reset()]
    for _ in range(3):
        observations, _, dones, infos = venv.step(np.zeros((2, 1), np.float32))
        seen.append(observations)
    assert [float(o["a"].sum()) for o in seen] == [0, 0, 8, 0]
    assert [int(o["b"][0, 0]) for o in seen] == [0, 1, 2, 0]
    assert dones.all()
    assert infos[0]["terminal_observation"]["a"].tolist() == [0, 0]
    assert infos[0]["terminal_observation"]["b"].tolist() == [3]


def test_what_is_finite_stays_the_same_array() -> None:
    array = np.ones((2, 3))
    assert zero_missing(array) is array
    assert zero_missing(np.array([[1, 2]])).tolist() == [[1, 2]]


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
@pytest.mark.parametrize("kind", [Failing, Flat])
def test_policies_learn_and_act(kind: Any, algorithm: str) -> None:
    arguments: dict[str, Any] = {"n_steps": 8, "batch_size": 8}
    if algorithm == "sac":
        arguments = {"learning_starts": 4, "batch_size": 4, "buffer_size": 99}
    config = AgentConfig(algorithm, n_envs=2, arguments=arguments, policy_kwargs={"net_arch": [4]})
    model = build_agent(config, training_env(config, GymnasiumVecEnv(vectorized(kind))), seed=0)
    model.learn(32)
    assert all(np.isfinite(p.detach().numpy()).all() for p in model.policy.parameters())
    if kind is Failing:
        gap: dict[str, NDArray[Any]] = {
            "a": np.array([[np.nan, 1]], np.float32),
            "b": np.zeros((1, 1), np.uint8),
        }
        nothing = {**gap, "a": np.zeros((1, 2), np.float32)}
        first = np.ones(1, np.bool_)
        policy = ObservationPolicy(model)
        np.testing.assert_array_equal(policy.act(gap, first), policy.act(nothing, first))
