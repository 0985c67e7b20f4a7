from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from mmrl.checkpoint import CheckpointError
from mmrl_agents.acting import ObservationPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.brought import bring, keep, vec_normalize_statistics
from mmrl_agents.config import AgentConfig
from mmrl_envs.wrappers.split import SplitObservation

ID = "Pendulum-v1"
SLICES: dict[str, Any] = {"height": [[1, 2]], "rest": [[0, 1], [2, 3]]}
CONFIG = AgentConfig(algorithm="sac", policy_kwargs={"net_arch": [8]}, policy="my.zip")


def env() -> gym.Env[Any, Any]:
    return SplitObservation(gym.make(ID), SLICES)


def trained(folder: Path, normalized: bool = True) -> tuple[SAC, Any]:
    """What a user has: a zip, and the statistics of its VecNormalize."""
    plain = DummyVecEnv([lambda: gym.make(ID)])
    venv: Any = VecNormalize(plain) if normalized else plain
    model = SAC(
        "MlpPolicy", venv, policy_kwargs={"net_arch": [8]}, buffer_size=100, learning_starts=10
    )
    model.learn(30)
    model.save(folder / "my.zip")
    if normalized:
        venv.save(str(folder / "vecnormalize.pkl"))
    return model, venv


def brought(folder: Path, statistics: Path | None) -> ObservationPolicy:
    bare = gym.make(ID).observation_space
    found = bring(folder / "my.zip", CONFIG, bare, env(), statistics)
    run = folder / "run"
    run.mkdir()
    if found.statistics is not None:
        found.statistics.save(run / "channels.npz")
    keep(found, CONFIG, env().observation_space, run / "policy.zip")
    acting = Agent.load(run).acting
    assert isinstance(acting, ObservationPolicy)
    return acting


@pytest.mark.parametrize("normalized", [True, False])
def test_a_policy_from_elsewhere_acts_as_it_did(tmp_path: Path, normalized: bool) -> None:
    model, venv = trained(tmp_path, normalized)
    acting = brought(tmp_path, tmp_path / "vecnormalize.pkl" if normalized else None)
    flat = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32) * 3
    seen = venv.normalize_obs(flat) if normalized else flat
    expected, _ = model.predict(seen, deterministic=True)
    split = {"height": flat[:, [1]], "rest": flat[:, [0, 2]]}
    np.testing.assert_array_equal(acting.act(split, np.ones(5, np.bool_)), expected)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.where),)

    def __init__(self, where: Path) -> None:
        self.where = where


def test_nothing_in_a_file_of_statistics_is_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps({"obs_rms": Trap(sprung)}))
    with pytest.raises(CheckpointError, match="holds no VecNormalize"):
        vec_normalize_statistics(path)
    assert not sprung.exists()
    pickle.loads(path.read_bytes())  # noqa: S301
    assert sprung.exists(), "the trap works"


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    trained(tmp_path, normalized=False)
    bare = gym.make(ID).observation_space
    with pytest.raises(CheckpointError, match="there is no policy at"):
        bring(tmp_path / "other.zip", CONFIG, bare, env())
    other = AgentConfig(algorithm="sac", policy_kwargs={"net_arch": [16]}, policy="my.zip")
    with pytest.raises(CheckpointError, match="are not of such a SACPolicy"):
        bring(tmp_path / "my.zip", other, bare, env())
    with pytest.raises(CheckpointError, match="cannot read"):
        bring(tmp_path / "my.zip", CONFIG, bare, env(), tmp_path / "nothing.pkl")
    PPO("MlpPolicy", ID, n_steps=8, batch_size=8).save(tmp_path / "ppo.zip")
    with pytest.raises(CheckpointError, match="are not of such a SACPolicy"):
        bring(tmp_path / "ppo.zip", CONFIG, bare, env())


def test_a_clip_that_is_not_known_is_refused(tmp_path: Path) -> None:
    venv = VecNormalize(DummyVecEnv([lambda: gym.make(ID)]), clip_obs=5.0)
    venv.save(str(tmp_path / "vecnormalize.pkl"))
    with pytest.raises(CheckpointError, match=r"clips at 5\.0; known is 10"):
        vec_normalize_statistics(tmp_path / "vecnormalize.pkl", {"whole": [0, 1, 2]})


@pytest.mark.parametrize("setting", [{"sees": ("joints",)}, {"normalize": True}])
def test_a_trained_policy_takes_no_settings_of_training(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is trained already"):
        AgentConfig(policy="my_sac.zip", **setting)
