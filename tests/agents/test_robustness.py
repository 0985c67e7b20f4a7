from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

import mmrl_envs  # noqa: F401  registers the pendulum
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.build import AgentConfig, build_policy
from mmrl_agents.latent import Observation
from mmrl_agents.robustness import (
    RATES,
    Condition,
    evaluate,
    rate_conditions,
    subset_conditions,
)
from tests.agents.tiny import TinyEncoder, TwoSensors, vectorized

CHANNELS = ("camera", "joints")


class Recorder:
    """Acts with the joints' third value, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.first: list[NDArray[np.bool_]] = []

    def act(self, observations: Observation, first: NDArray[np.bool_]) -> NDArray[Any]:
        self.seen.append({name: value.copy() for name, value in observations.items()})
        self.first.append(first.copy())
        return observations["joints"][:, 2:].astype(np.float32)


def make(num_envs: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> VectorEnv[Any, Any, Any]:
    return vectorized(partial(TwoSensors, with_mask=False), num_envs, mode)


def test_subsets_are_named_and_ordered() -> None:
    names = [condition.name for condition in subset_conditions(["a", "b", "c"])]
    assert names == ["a+b+c", "a+b", "a+c", "b+c", "a", "b", "c"]
    complete, *others = subset_conditions(CHANNELS)
    assert complete.faults == ()
    assert [list(c.faults[0]["channels"]) for c in others] == [["joints"], ["camera"]]


def test_rates_are_those_of_the_protocol() -> None:
    conditions = rate_conditions(CHANNELS)
    assert tuple(condition.rate for condition in conditions) == RATES
    assert {condition.name for condition in conditions} == {"bernoulli"}
    assert conditions[0].faults == ()
    assert conditions[3].faults[0] == {
        "pattern": "bernoulli",
        "rate": 0.3,
        "channels": list(CHANNELS),
    }


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_returns_and_lengths_of_first_episodes(mode: AutoresetMode) -> None:
    agent = Recorder()
    (result,) = evaluate(agent, partial(make, mode=mode), [Condition("all")], episodes=6, seed=0)
    starts = result.starts["start"]
    assert result.lengths.tolist() == [5] * 6
    np.testing.assert_allclose(result.returns, -5 * (1.0 + starts), rtol=1e-6)
    np.testing.assert_allclose(result.rewards, -(1.0 + starts), rtol=1e-6)
    assert agent.first[0].all()
    assert not np.any(agent.first[1:])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_only_first_episodes_count(mode: AutoresetMode) -> None:
    """Short episodes are followed by others until the longest has ended."""

    def make_uneven(_: int) -> VectorEnv[Any, Any, Any]:
        kinds = [partial(TwoSensors, length=n, with_mask=False) for n in (2, 5)]
        return SyncVectorEnv(kinds, autoreset_mode=mode)

    agent = Recorder()
    (result,) = evaluate(agent, make_uneven, [Condition("all")], episodes=2, seed=0)
    assert result.lengths.tolist() == [2, 5]
    starts = result.starts["start"]
    np.testing.assert_allclose(result.returns, -result.lengths * (1.0 + starts), rtol=1e-6)
    assert len(agent.seen) == 5
    assert agent.first[2][0], "an episode's end is told to the agent"


def test_every_condition_starts_from_the_same_states() -> None:
    conditions = [*subset_conditions(CHANNELS), *rate_conditions(CHANNELS, (0.5,))]
    results = evaluate(Recorder(), make, conditions, episodes=5, seed=1, n_envs=2)
    assert [result.condition for result in results] == conditions
    starts = results[0].starts["start"]
    assert len(set(starts)) == 5
    for result in results[1:]:
        np.testing.assert_array_equal(result.starts["start"], starts)
    other = evaluate(Recorder(), make, conditions[:1], episodes=5, seed=2, n_envs=2)
    assert not set(other[0].starts["start"]) & set(starts)


def test_the_same_seed_gives_the_same_result() -> None:
    conditions = rate_conditions(CHANNELS, (0.5,))
    run = partial(evaluate, Recorder(), make, conditions, episodes=4, seed=3)
    first, second = run()[0], run()[0]
    np.testing.assert_array_equal(first.returns, second.returns)
    assert first.missing == second.missing


def test_sensors_are_missing_as_the_condition_says() -> None:
    agent = Recorder()
    results = evaluate(agent, make, subset_conditions(CHANNELS), episodes=2, seed=0)
    assert [result.missing for result in results] == [
        {"camera": 0.0, "joints": 0.0},
        {"camera": 0.0, "joints": 1.0},
        {"camera": 1.0, "joints": 0.0},
    ]
    assert [result.missing_rate for result in results] == [0.0, 0.5, 0.5]
    assert [result.faulty for result in results] == [result.missing for result in results]
    only_camera = agent.seen[5]
    assert only_camera["available"].tolist() == [[1, 0], [1, 0]]
    assert not only_camera["joints"].any()
    np.testing.assert_array_equal(results[1].returns, -5 * results[1].starts["start"])


def test_faults_that_are_not_announced_are_realised_but_not_missing() -> None:
    faults = (
        {"pattern": "fixed", "mechanism": "freeze", "channels": ["camera"]},
        {"pattern": "intervals", "intervals": [[0, 2]], "channels": ["joints"]},
    )
    (result,) = evaluate(Recorder(), make, [Condition("x", faults)], episodes=5, seed=0, n_envs=2)
    assert result.missing == {"camera": 0.0, "joints": 0.4}
    assert result.faulty == {"camera": 1.0, "joints": 0.4}
    assert (result.missing_rate, result.realised_rate) == (0.2, 0.7)


def test_realised_rates_are_near_the_nominal_ones() -> None:
    (result,) = evaluate(Recorder(), make, rate_conditions(CHANNELS, (0.7,)), episodes=300, seed=0)
    for rate in result.faulty.values():
        assert rate == pytest.approx(0.7, abs=0.04)


def test_a_sensor_can_be_kept() -> None:
    conditions = rate_conditions(CHANNELS, (0.9,), keep_at_least=1)
    agent = Recorder()
    evaluate(agent, make, conditions, episodes=20, seed=0)
    assert all(seen["available"].any(axis=1).all() for seen in agent.seen)


def test_conditions_without_faults_are_run_once() -> None:
    conditions = [*subset_conditions(CHANNELS)[:1], *rate_conditions(CHANNELS, (0.0,))]
    agent = Recorder()
    finished: list[int] = []
    results = evaluate(
        agent, make, conditions, episodes=5, seed=0, n_envs=3, on_episodes=finished.append
    )
    assert len(agent.seen) == 2 * 5
    assert [result.condition for result in results] == conditions
    np.testing.assert_array_equal(results[0].returns, results[1].returns)
    assert finished == [3, 2, 5]


def make_pendulum(num_envs: int) -> VectorEnv[Any, Any, Any]:
    return gym.make_vec("mmrl/MultimodalPendulum-v0", num_envs=num_envs, episode_length=6)


def test_a_native_vector_environment() -> None:
    class Still:
        def act(self, observations: Observation, first: NDArray[np.bool_]) -> NDArray[Any]:
            return np.zeros((len(first), 1), np.float32)

    results = evaluate(
        Still(), make_pendulum, subset_conditions(["image", "sound"]), episodes=4, seed=0
    )
    assert [result.condition.name for result in results] == ["image+sound", "image", "sound"]
    assert results[0].starts["state"].shape == (4, 2)
    for result in results[1:]:
        np.testing.assert_array_equal(result.returns, results[0].returns)


def test_policies_act_in_it(encoder: TinyEncoder) -> None:
    config = AgentConfig(policy_kwargs={"net_arch": [8]})
    space = TwoSensors()
    latent = LatentPolicy(
        encoder,
        build_policy(config, gym.spaces.Box(-np.inf, np.inf, (4,), np.float32), space.action_space),
    )
    plain = ObservationPolicy(build_policy(config, space.observation_space, space.action_space))
    for agent in (latent, plain):
        results = evaluate(agent, make, subset_conditions(CHANNELS), episodes=3, seed=0)
        assert all(np.isfinite(result.returns).all() for result in results)
        assert not np.array_equal(results[0].returns, results[1].returns)


class Long(TwoSensors):
    """Never ends by itself."""

    def __init__(self) -> None:
        super().__init__(length=10**6, with_mask=False)

    def observe(self) -> dict[str, np.ndarray]:
        self.steps, steps = 0, self.steps
        seen = super().observe()
        self.steps = steps
        return seen


@pytest.mark.parametrize(("limit", "steps"), [(None, 1000), (7, 7)])
def test_an_environment_without_an_end_is_cut_off(limit: int | None, steps: int) -> None:
    made = partial(vectorized, Long)
    condition = subset_conditions(CHANNELS)[:1]
    (result,) = evaluate(
        Recorder(),
        lambda n: made(num_envs=n),
        condition,
        episodes=3,
        n_envs=2,
        seed=0,
        max_steps=limit,
    )
    assert result.lengths.tolist() == [steps] * 3
    assert result.cut_off == 3


def test_a_registered_time_limit_is_longer_than_the_bound() -> None:
    gym.register("Long-v0", entry_point=lambda **_: Long(), max_episode_steps=1200)

    def long(n: int) -> VectorEnv[Any, Any, Any]:
        return gym.make_vec("Long-v0", n, vectorization_mode="sync")

    condition = subset_conditions(CHANNELS)[:1]
    (result,) = evaluate(Recorder(), long, condition, episodes=1, seed=0)
    assert result.lengths.tolist() == [1200]
    assert result.cut_off == 0
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        evaluate(Recorder(), long, condition, episodes=1, seed=0, max_steps=0)


@pytest.mark.parametrize(("episodes", "n_envs"), [(0, 1), (1, 0)])
def test_no_episodes_are_refused(episodes: int, n_envs: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {episodes} and {n_envs}"):
        evaluate(Recorder(), make, [], episodes=episodes, seed=0, n_envs=n_envs)


def test_a_fault_of_an_unknown_channel_is_named() -> None:
    faults = ({"pattern": "fixed", "channels": ["lidar"]},)
    with pytest.raises(ValueError, match="lidar"):
        evaluate(Recorder(), make, [Condition("x", faults)], episodes=1, seed=0)
