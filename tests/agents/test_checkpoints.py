from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from mmrl.checkpoint import CheckpointError
from mmrl_agents.build import ActionNoiseConfig, AgentConfig, build_agent, training_env
from mmrl_agents.checkpoints import load_policy, save_policy
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import TinyEncoder, TwoSensors, vectorized

KWARGS = {"net_arch": [8]}
NET_ARCH: dict[str, dict[str, Any]] = {
    "recurrent_ppo": {**KWARGS, "lstm_hidden_size": 8},
    "ddpg": {"net_arch": [8, 9], "critic_rate_factor": 3.0},
}


def config_of(algorithm: str = "sac", **settings: Any) -> AgentConfig:
    kwargs = NET_ARCH.get(algorithm, KWARGS)
    policy = "PaperDDPGPolicy" if algorithm == "ddpg" else "auto"
    return AgentConfig(algorithm, n_envs=2, policy=policy, policy_kwargs=kwargs, **settings)


def build(config: AgentConfig, encoder: TinyEncoder | None, **kwargs: Any) -> BaseAlgorithm:
    kind = partial(TwoSensors, discrete=config.algorithm == "dqn")
    venv = GymnasiumVecEnv(vectorized(kind))
    return build_agent(config, training_env(config, venv, encoder), seed=0, **kwargs)


def assert_acts_the_same(model: BaseAlgorithm, policy: Any) -> None:
    observation = model.observation_space.sample()
    first, _ = model.predict(observation, deterministic=True)
    second, _ = policy.predict(observation, deterministic=True)
    np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac", "dqn", "ppo", "a2c", "recurrent_ppo"])
def test_a_policy_acts_as_it_did(algorithm: str, encoder: TinyEncoder, tmp_path: Path) -> None:
    config = config_of(algorithm)
    model = build(config, encoder)
    save_policy(model, config, tmp_path / "policy.zip")
    saved = load_policy(tmp_path / "policy.zip")
    assert saved.config == config
    assert saved.on_latents
    assert saved.policy.action_space == model.action_space
    assert not saved.policy.training
    assert_acts_the_same(model, saved.policy)
    for name, value in model.policy.state_dict().items():
        np.testing.assert_array_equal(value, saved.policy.state_dict()[name])


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_state_dependent_exploration(algorithm: str, encoder: TinyEncoder, tmp_path: Path) -> None:
    config = config_of(algorithm, arguments={"use_sde": True})
    model = build(config, encoder)
    save_policy(model, config, tmp_path / "policy.zip")
    assert_acts_the_same(model, load_policy(tmp_path / "policy.zip").policy)


def test_policies_on_observations(tmp_path: Path) -> None:
    config = config_of()
    model = build(config, None)
    save_policy(model, config, tmp_path / "policy.zip")
    saved = load_policy(tmp_path / "policy.zip")
    assert not saved.on_latents
    assert saved.sensors == model.observation_space
    assert_acts_the_same(model, saved.policy)


def test_what_the_sensors_deliver_is_remembered(encoder: TinyEncoder, tmp_path: Path) -> None:
    config = config_of(action_rule="paper")
    model = build(config, encoder)
    save_policy(model, config, tmp_path / "policy.zip")
    saved = load_policy(tmp_path / "policy.zip")
    assert isinstance(saved.sensors, spaces.Dict)
    assert set(saved.sensors.spaces) == {"camera", "joints", "available"}
    assert saved.policy.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)


def test_a_fine_tuned_policy_has_its_own_encoder(
    encoder_file: Path, encoder: TinyEncoder, tmp_path: Path
) -> None:
    config = config_of("ppo", finetune=True, arguments={"n_steps": 8, "batch_size": 8})
    model = build(config, encoder, checkpoint=encoder_file).learn(16)
    save_policy(model, config, tmp_path / "policy.zip")
    moved = tmp_path / "elsewhere"
    shutil.move(encoder_file.parent, moved)
    saved = load_policy(tmp_path / "policy.zip", checkpoint=moved)
    assert_acts_the_same(model, saved.policy)
    with pytest.raises(CheckpointError, match="fine-tuned policy: give its encoder's checkpoint"):
        load_policy(tmp_path / "policy.zip")


def test_stable_baselines3_reads_the_file(encoder: TinyEncoder, tmp_path: Path) -> None:
    config = config_of(
        action_noise=ActionNoiseConfig("ornstein_uhlenbeck"), learning_rate_schedule="linear"
    )
    model = build(config, encoder)
    save_policy(model, config, tmp_path / "policy.zip")
    assert_acts_the_same(model, SAC.load(tmp_path / "policy.zip"))


def write(path: Path, **entries: Any) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "."), content)


def entries_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return {name.replace(".", "__"): archive.read(name) for name in archive.namelist()}


class Bomb:
    """Running this is what loading a stranger's file must not do."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('code from the file was run')",)


def test_nothing_is_unpickled(encoder: TinyEncoder, tmp_path: Path) -> None:
    path = tmp_path / "policy.zip"
    config = config_of()
    model = build(config, encoder)
    model.learning_rate = Bomb()  # type: ignore[assignment]
    save_policy(model, config, path)
    with pytest.raises(SystemExit):
        SAC.load(path)
    assert_acts_the_same(model, load_policy(path).policy)
    write(path, **entries_of(path) | {"policy__pth": pickle.dumps(Bomb(), protocol=2)})
    with pytest.raises(CheckpointError, match="damaged"):
        load_policy(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no policy at .*policy\.zip"):
        load_policy(tmp_path / "policy.zip")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_is_damaged(share: float, encoder: TinyEncoder, tmp_path: Path) -> None:
    path = tmp_path / "policy.zip"
    config = config_of()
    save_policy(build(config, encoder), config, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="damaged"):
        load_policy(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format 'other'"),
        ({"version": 99}, "version 99; this release reads"),
        ({"config": {"algorithm": "qdn"}}, r"damaged: mmrl\.json"),
        ({"observation_space": {"type": "Nothing"}}, r"damaged: mmrl\.json"),
        ({"observation_space": {"type": "Discrete", "n": 3, "start": 0}}, "weights .* do not fit"),
    ],
)
def test_a_description_that_does_not_fit(
    change: dict[str, Any], message: str, encoder: TinyEncoder, tmp_path: Path
) -> None:
    path = tmp_path / "policy.zip"
    config = config_of()
    save_policy(build(config, encoder), config, path)
    entries = entries_of(path)
    description = json.loads(entries["mmrl__json"]) | change
    write(path, **entries | {"mmrl__json": json.dumps(description)})
    with pytest.raises(CheckpointError, match=message):
        load_policy(path)


def test_a_plain_file_of_stable_baselines3_is_foreign(tmp_path: Path) -> None:
    venv = DummyVecEnv([partial(TwoSensors)])
    SAC("MultiInputPolicy", venv, buffer_size=4).save(tmp_path / "policy.zip")
    with pytest.raises(CheckpointError, match="plain Stable-Baselines3 file"):
        load_policy(tmp_path / "policy.zip")


def test_a_full_disk_keeps_the_earlier_file(
    encoder: TinyEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.zip"
    config = config_of()
    model = build(config, encoder)
    save_policy(model, config, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_policy(model, config, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
