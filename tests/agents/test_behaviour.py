"""Who acts while observations are collected."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import SAC

from mmrl.checkpoint import CheckpointError
from mmrl.data import collect
from mmrl_agents.behaviour import RAW, Behaviour, RawInInfo, acts_on_raw, load_behaviour
from mmrl_agents.build import AgentConfig, build_policy
from mmrl_envs.wrappers.split import SplitObservation
from tests.agents.tiny import TwoSensors, vectorized

SLICES = {"angle": [0, 2], "speed": [2, 3]}


def split_pendulum(length: int = 6) -> gym.Env[Any, Any]:
    bare = gym.make("Pendulum-v1", max_episode_steps=length)
    return SplitObservation(RawInInfo(bare), SLICES)


def pendulums(n: int = 3) -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([split_pendulum] * n, autoreset_mode=AutoresetMode.SAME_STEP)


def bare_pendulum() -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([partial(gym.make, "Pendulum-v1")], autoreset_mode=AutoresetMode.SAME_STEP)


class Recorder:
    def __init__(self, action: Any) -> None:
        self.action = action
        self.seen: list[Any] = []

    def __call__(self, observations: Any, raw: Any, first: Any) -> np.ndarray:
        self.seen.append(({k: v.copy() for k, v in observations.items()}, raw, first.copy()))
        return np.repeat(self.action[None], len(first), axis=0)


def test_the_policy_sees_what_the_bare_environment_returned_and_when_episodes_start() -> None:
    recorder = Recorder(np.ones(1, np.float32))
    envs = Behaviour(pendulums(), recorder, seed=0)
    collect(envs, 3 * 15, seed=0, policy=envs.act)
    for observations, raw, _ in recorder.seen:
        np.testing.assert_array_equal(
            raw, np.concatenate([observations["angle"], observations["speed"]], axis=1)
        )
    starts = [bool(first.all()) for *_, first in recorder.seen]
    assert [step for step, start in enumerate(starts) if start] == [0, 6, 12]


def test_raw_dicts_come_without_their_masks() -> None:
    recorder = Recorder(np.zeros(1, np.float32))
    wrapped = [lambda: RawInInfo(TwoSensors())] * 2
    envs = Behaviour(
        SyncVectorEnv(wrapped, autoreset_mode=AutoresetMode.SAME_STEP), recorder, seed=0
    )
    envs.step(envs.act(envs.reset(seed=0)[0]))
    assert set(recorder.seen[0][1]) == {"camera", "joints", "available"}


@pytest.mark.parametrize(("actions", "episodes"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.5), (1.0, 0.0)])
def test_shares_of_random_actions_and_episodes(actions: float, episodes: float) -> None:
    recorder = Recorder(np.full(1, 0.25, np.float32))
    envs = Behaviour(
        pendulums(40), recorder, random_actions=actions, random_episodes=episodes, seed=1
    )
    observations, _ = envs.reset(seed=0)
    chosen = []
    for _ in range(60):
        taken = envs.act(observations)
        chosen.append(taken[:, 0] == 0.25)
        observations, *_ = envs.step(taken)
    kept = np.array(chosen).reshape(10, 6, 40)  # episodes of 6 steps
    assert 1 - kept.mean() == pytest.approx(actions + episodes, abs=0.06)
    whole = (kept.all(axis=1) | ~kept.any(axis=1)).mean()
    assert whole == 1.0 if not 0 < actions < 1 else whole < 0.3


def test_discrete_actions_stay_integers() -> None:
    envs = Behaviour(
        vectorized(partial(TwoSensors, discrete=True)),
        Recorder(np.array(1)),
        random_actions=0.5,
        seed=0,
    )
    actions = envs.act(envs.reset(seed=0)[0])
    assert actions.shape == (2,)
    assert np.issubdtype(actions.dtype, np.integer)


def test_a_zip_of_stable_baselines3_acts_as_it_did(tmp_path: Path) -> None:
    model = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, seed=0)
    model.save(tmp_path / "sac.zip")
    config = AgentConfig("sac", policy_kwargs={"net_arch": [8]})
    chooses = load_behaviour(tmp_path / "sac.zip", config, pendulums(), bare_pendulum())
    raw = np.array([[1.0, 0.0, 0.5]], np.float32)
    first = np.ones(1, np.bool_)
    draws = np.array([chooses({}, raw, first) for _ in range(50)])
    assert draws.std() > 0  # it explores
    policy = build_policy(config, model.observation_space, model.action_space)
    policy.load_state_dict(model.policy.state_dict())
    expected = acts_on_raw(policy, policy.action_space)
    expected_mean = np.mean([expected({}, raw, first) for _ in range(50)])
    assert draws.mean() == pytest.approx(expected_mean, abs=0.8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy_kwargs": {"net_arch": [9]}}, r"not of such a SACPolicy: size mismatch"),
        ({"algorithm": "ppo"}, r"not of such a ActorCriticPolicy"),
    ],
)
def test_a_zip_of_another_network_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}).save(tmp_path / "sac.zip")
    config = AgentConfig(**settings)
    with pytest.raises(CheckpointError, match=message):
        load_behaviour(tmp_path / "sac.zip", config, pendulums(), bare_pendulum())


def test_what_is_no_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"nonsense")
    for name, message in (("x.zip", "damaged"), ("y.zip", "there is no policy at")):
        with pytest.raises(CheckpointError, match=message):
            load_behaviour(tmp_path / name, AgentConfig(), pendulums(), bare_pendulum())


def test_the_raw_observation_is_told_in_the_info() -> None:
    env = RawInInfo(gym.make("Pendulum-v1"))
    observation, info = env.reset(seed=0)
    np.testing.assert_array_equal(info[RAW], observation)
    observation, *_, info = env.step(np.zeros(1, np.float32))
    np.testing.assert_array_equal(info[RAW], observation)
