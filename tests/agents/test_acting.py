from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.build import AgentConfig, build_policy
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics
from tests.agents.tiny import MODALITIES, TinyEncoder, TwoSensors

LATENT = spaces.Box(-np.inf, np.inf, (4,), np.float32)
RECURRENT = AgentConfig("recurrent_ppo", policy_kwargs={"lstm_hidden_size": 6})


def policy_on(space: spaces.Space[Any] = LATENT, config: AgentConfig | None = None) -> BasePolicy:
    policy = build_policy(config or AgentConfig(), space, TwoSensors().action_space)
    policy.set_training_mode(False)
    return policy


def observe(rows: int, available: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "camera": rng.integers(0, 256, (rows, *MODALITIES[0].shape), np.uint8),
        "joints": rng.normal(size=(rows, 3)).astype(np.float32),
        "available": np.full((rows, 2), available, np.int8),
    }


def test_acts_on_latents(encoder: TinyEncoder) -> None:
    policy = policy_on()
    agent = LatentPolicy(encoder, policy)
    observation = observe(3)
    latents = agent.latents.step(observation, np.ones(3, np.bool_))
    expected, _ = policy.predict(latents, deterministic=True)
    np.testing.assert_array_equal(agent.act(observation, np.ones(3, np.bool_)), expected)


def test_holds_the_last_latent_and_forgets_it_with_the_episode(encoder: TinyEncoder) -> None:
    agent = LatentPolicy(encoder, policy_on())
    first, later = np.ones(2, np.bool_), np.zeros(2, np.bool_)
    seen = agent.act(observe(2), first)
    np.testing.assert_array_equal(agent.act(observe(2, available=0, seed=1), later), seen)
    restarted = agent.act(observe(2, available=0), np.array([True, False]))
    assert restarted[0] != seen[0]
    assert restarted[1] == seen[1]


def test_a_recurrent_policy_remembers_and_forgets(encoder: TinyEncoder) -> None:
    agent = LatentPolicy(encoder, policy_on(config=RECURRENT))
    first, later = np.ones(1, np.bool_), np.zeros(1, np.bool_)
    start = agent.act(observe(1), first)
    assert not np.array_equal(agent.act(observe(1), later), start)
    np.testing.assert_array_equal(agent.act(observe(1), first), start)


def test_another_number_of_environments_starts_anew(encoder: TinyEncoder) -> None:
    agent = LatentPolicy(encoder, policy_on(config=RECURRENT))
    agent.act(observe(1), np.ones(1, np.bool_))
    assert agent.act(observe(3), np.ones(3, np.bool_)).shape == (3, 1)


def test_a_stochastic_policy_draws(encoder: TinyEncoder) -> None:
    first = np.ones(1, np.bool_)
    drawing = LatentPolicy(encoder, policy_on(), deterministic=False)
    assert drawing.act(observe(1), first) != drawing.act(observe(1), first)


def test_acts_on_observations_it_was_trained_with() -> None:
    without_mask = policy_on(TwoSensors(with_mask=False).observation_space)
    agent = ObservationPolicy(without_mask)
    observation = observe(2)
    expected, _ = without_mask.predict(
        {name: observation[name] for name in ("camera", "joints")}, deterministic=True
    )
    np.testing.assert_array_equal(agent.act(observation, np.ones(2, np.bool_)), expected)
    with_mask = ObservationPolicy(policy_on(TwoSensors().observation_space))
    first = np.ones(2, np.bool_)
    complete = with_mask.act(observe(2), first)
    assert not np.array_equal(with_mask.act(observe(2, available=0), first), complete)


def test_a_policy_on_vectors_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a policy on Dicts, got Box"):
        ObservationPolicy(policy_on())


def test_channels_are_normalized_by_statistics_and_missing_ones_stay_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = spaces.Dict(
        {"camera": TwoSensors().channels["camera"], "joints": spaces.Box(-1, 1, (3,))}
    )
    seen: list[Any] = []

    def record(observation: Any, first: np.ndarray) -> np.ndarray:
        seen.append(observation)
        return first

    statistics = ChannelStatistics({"joints": (3,)})
    statistics.update({"joints": np.array([[0.0, 10.0, 5.0], [2.0, 30.0, 5.0]])})
    observation = observe(2)
    observation["joints"] = np.array([[2.0, 40.0, 5.0], [7.0, 7.0, 7.0]], np.float32)
    observation["available"] = np.array([[1, 1], [1, 0]], np.int8)
    agent = ObservationPolicy(policy_on(space), statistics=statistics)
    monkeypatch.setattr(agent.memory, "predict", record)
    agent.act(observation, np.ones(2, np.bool_))
    np.testing.assert_allclose(seen[0]["joints"], [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-6)
    assert seen[0]["camera"] is observation["camera"]
