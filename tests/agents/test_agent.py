from __future__ import annotations

import json
import shutil
import threading
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from mmrl import checkpoint
from mmrl.checkpoint import CheckpointError
from mmrl.methods import METHODS
from mmrl_agents.agent import Agent
from mmrl_agents.build import AgentConfig, build_agent, training_env
from mmrl_agents.checkpoints import save_policy
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import CAMERA, MODALITIES, TinyConfig, TinyEncoder, TwoSensors, vectorized

IMAGE = np.random.default_rng(0).integers(0, 256, CAMERA, np.uint8)
JOINTS = np.array([0.1, -0.2, 0.3], np.float32)
NOTHING: dict[str, Any] = {}


def run_folder(
    path: Path, encoder: TinyEncoder | None, discrete: bool = False, **settings: Any
) -> Path:
    """What a finished run leaves."""
    config = AgentConfig(policy_kwargs={"net_arch": [8]}, n_envs=2, **settings)
    if encoder is not None:
        checkpoint.save(encoder, path)
    path.mkdir(exist_ok=True)
    kind = partial(TwoSensors, discrete=discrete)
    venv = training_env(config, GymnasiumVecEnv(vectorized(kind)), encoder)
    file = path / "encoder.yaml" if config.finetune else None
    save_policy(build_agent(config, venv, seed=0, checkpoint=file), config, path / "policy.zip")
    return path


@pytest.fixture(autouse=True)
def known_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, TinyEncoder.name, TinyEncoder)


@pytest.fixture
def folder(tmp_path: Path, encoder: TinyEncoder) -> Path:
    return run_folder(tmp_path / "run", encoder)


@pytest.fixture
def agent(folder: Path) -> Agent:
    return Agent.load(folder)


def fresh(agent: Agent, observation: dict[str, Any]) -> np.ndarray:
    agent.reset()
    action: np.ndarray = agent.act(observation)
    return action


def test_acts_like_its_parts(folder: Path, encoder: TinyEncoder, agent: Agent) -> None:
    with torch.no_grad():
        latent = encoder.eval().encode(
            {"camera": torch.from_numpy(IMAGE)[None], "joints": torch.from_numpy(JOINTS)[None]}
        )
    expected, _ = agent.acting.memory.policy.predict(latent[0].numpy(), deterministic=True)
    action = fresh(agent, {"camera": IMAGE, "joints": JOINTS})
    assert action.shape == (1,)
    np.testing.assert_allclose(action, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "missing",
    [
        {},
        {"joints": None},
        {"joints": np.full(3, np.nan)},
        {"joints": [np.inf, -np.inf, 3e38]},
        {"joints": JOINTS, "available": [1, 0]},
        {"joints": JOINTS, "available": np.array([True, False])},
    ],
)
def test_a_missing_sensor_is_missing_however_it_is_said(
    missing: dict[str, Any], agent: Agent
) -> None:
    expected = fresh(agent, {"camera": IMAGE})
    np.testing.assert_array_equal(fresh(agent, {"camera": IMAGE, **missing}), expected)
    assert not np.array_equal(fresh(agent, {"camera": IMAGE, "joints": JOINTS}), expected)


def test_with_nothing_left_it_acts_on_what_it_last_knew(agent: Agent) -> None:
    known = fresh(agent, {"camera": IMAGE, "joints": JOINTS})
    np.testing.assert_array_equal(agent.act(NOTHING), known)
    np.testing.assert_array_equal(agent.act({"camera": None}), known)
    assert not np.array_equal(fresh(agent, NOTHING), known)


def test_actions_may_be_drawn(agent: Agent) -> None:
    draws = {float(agent.act({"joints": JOINTS}, deterministic=False)[0]) for _ in range(4)}
    assert len(draws) == 4
    assert agent.act({"joints": JOINTS}) == agent.act({"joints": JOINTS})


def test_values_are_converted_where_nothing_is_lost(agent: Agent) -> None:
    expected = fresh(agent, {"camera": IMAGE, "joints": JOINTS})
    other = {"camera": IMAGE.astype(np.int64), "joints": JOINTS.astype(np.float64).tolist()}
    np.testing.assert_array_equal(fresh(agent, other), expected)
    flipped = np.ascontiguousarray(IMAGE[..., ::-1])[..., ::-1]
    for camera in (
        flipped,
        np.asfortranarray(IMAGE),
        torch.from_numpy(IMAGE),
        IMAGE[0],
        IMAGE * 1.0,
    ):
        joints = torch.tensor(JOINTS, requires_grad=True)
        np.testing.assert_array_equal(fresh(agent, {"camera": camera, "joints": joints}), expected)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({"lidar": JOINTS}, r"unknown sensors \['lidar'\]; the agent has \['camera', 'joints'\]"),
        ({"joints": np.zeros(4)}, r"sensor 'joints' has shape \(3,\), got \(4,\)"),
        ({"camera": IMAGE / 255}, r"delivers uint8 \(images: 0 to 255\), got float64 values"),
        ({"camera": IMAGE + np.int64(200)}, "got int64 values from 200"),
        ({"joints": ["a", "b", "c"]}, "'joints' delivers numbers, got <U1"),
        ({"joints": JOINTS, "available": [1]}, "a 0 or 1 for each of"),
        ({"joints": JOINTS, "available": [1, np.nan]}, r"a 0 or 1 for each .*got \[1, nan\]"),
        ({"joints": JOINTS, "available": [1, 2]}, "a 0 or 1 for each of"),
        ({"joints": JOINTS, "available": ["up", "down"]}, "a 0 or 1 for each of"),
        ({"camera": (IMAGE > 99) * 1.0}, r"got float64 values from 0\.0 to 1\.0; convert"),
    ],
)
def test_bad_observations_are_named(
    observation: dict[str, Any], message: str, agent: Agent
) -> None:
    with pytest.raises(ValueError, match=message):
        agent.act(observation)


@pytest.mark.parametrize("nothing", [np.inf, 3e38, -1e300])
def test_missing_numbers_of_a_reading_leave_the_others(nothing: float, agent: Agent) -> None:
    expected = fresh(agent, {"joints": [0.1, np.nan, 0.2]})
    np.testing.assert_array_equal(fresh(agent, {"joints": [0.1, nothing, 0.2]}), expected)
    assert not np.array_equal(fresh(agent, {"joints": [5.1, np.nan, 0.2]}), expected)


def test_no_reading_stays_in_memory(agent: Agent) -> None:
    agent.reset()
    known = agent.act({"camera": IMAGE, "joints": JOINTS})
    np.testing.assert_array_equal(agent.act({"joints": np.full(3, 3e38)}), known)
    expected = fresh(agent, {"camera": IMAGE, "joints": JOINTS})
    np.testing.assert_array_equal(agent.act({"camera": IMAGE, "joints": JOINTS}), expected)


def test_an_agent_without_an_encoder(tmp_path: Path) -> None:
    agent = Agent.load(run_folder(tmp_path / "run", None))
    complete = fresh(agent, {"camera": IMAGE, "joints": JOINTS})
    expected = fresh(agent, {"camera": IMAGE})
    assert not np.array_equal(expected, complete)
    for bad in (np.full(3, np.nan), np.array([0.0, np.inf, 0.0], np.float32)):
        np.testing.assert_array_equal(fresh(agent, {"camera": IMAGE, "joints": bad}), expected)
    holes = np.where(IMAGE > 100, np.nan, IMAGE)
    expected = fresh(agent, {"joints": JOINTS})
    np.testing.assert_array_equal(fresh(agent, {"camera": holes, "joints": JOINTS}), expected)


def test_a_fine_tuned_agent(tmp_path: Path, encoder: TinyEncoder) -> None:
    agent = Agent.load(run_folder(tmp_path / "run", encoder, finetune=True))
    expected = fresh(agent, {"camera": IMAGE})
    np.testing.assert_array_equal(
        fresh(agent, {"camera": IMAGE, "joints": np.full(3, np.nan)}), expected
    )


@pytest.mark.parametrize("name", ["policy.zip", "encoder.yaml", "encoder.safetensors"])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        Agent.load(folder)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there should be policy\.zip, but there is not"):
        Agent.load(tmp_path)
    with pytest.raises(CheckpointError, match="no trained agent"):
        Agent.load(tmp_path / "absent")


@pytest.mark.parametrize("name", ["policy.zip", "encoder.yaml", "encoder.safetensors"])
def test_a_damaged_file_is_named(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(CheckpointError, match="encoder" if "encoder" in name else name):
        Agent.load(folder)


def test_an_encoder_of_other_sensors_is_named(folder: Path) -> None:
    checkpoint.save(TinyEncoder((MODALITIES[1],)), folder)
    with pytest.raises(CheckpointError, match="channel 'camera' is unknown"):
        Agent.load(folder)


def test_an_encoder_of_another_run_is_named(folder: Path, tmp_path: Path) -> None:
    other = TinyEncoder(config=TinyConfig(latent_dim=6))
    checkpoint.save(other, tmp_path / "other")
    for name in ("encoder.yaml", "encoder.safetensors"):
        shutil.copy(tmp_path / "other" / name, folder / name)
    with pytest.raises(CheckpointError, match=r"latents of another encoder .*different runs"):
        Agent.load(folder)
    forget_fingerprint(folder / "policy.zip")  # as files of older releases, which had none
    with pytest.raises(CheckpointError, match=r"of size 6, but its policy .*different runs"):
        Agent.load(folder)


def test_an_encoder_of_the_same_sizes_is_not_taken_for_the_same(
    folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(9)
    checkpoint.save(TinyEncoder(), tmp_path / "other")
    for name in ("encoder.yaml", "encoder.safetensors"):
        shutil.copy(tmp_path / "other" / name, folder / name)
    with pytest.raises(CheckpointError, match=r"latents of another encoder .*different runs"):
        Agent.load(folder)


def forget_fingerprint(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members["mmrl.json"])
    del description["encoder_sha256"]
    members["mmrl.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_discrete_action_is_a_number_that_the_environment_takes(
    tmp_path: Path, encoder: TinyEncoder
) -> None:
    agent = Agent.load(run_folder(tmp_path / "run", encoder, discrete=True, algorithm="dqn"))
    action = agent.act({"camera": IMAGE})
    assert TwoSensors(discrete=True).action_space.contains(action)
    assert {0: "left", 1: "stay", 2: "right"}[action]  # it can be looked up


def test_two_threads_do_not_mix_their_observations(agent: Agent) -> None:
    inside, done = threading.Event(), threading.Event()
    act = agent.acting.act

    def slowly(*arguments: Any) -> Any:
        inside.set()
        done.wait(10)
        return act(*arguments)

    agent.acting.act = slowly  # type: ignore[assignment,method-assign]
    other = threading.Thread(target=agent.act, args=({"camera": IMAGE},))
    other.start()
    inside.wait(10)
    with pytest.raises(RuntimeError, match="two threads act with one agent at once"):
        agent.act({"camera": IMAGE})
    done.set()
    other.join()
    agent.act({"camera": IMAGE})  # one after the other they may


def test_a_fine_tuned_policy_is_loaded_from_another_folder(
    tmp_path: Path, encoder: TinyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run_folder(Path("run"), encoder, finetune=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    SAC.load(tmp_path / "run" / "policy.zip")
