"""A monitor at work: in front of a policy, in a VecEnv, in trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from mmrl import checkpoint
from mmrl.checkpoint import CheckpointError
from mmrl.methods import METHODS
from mmrl_agents.acting import LatentPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.build import AgentConfig, build_agent, build_policy, training_env
from mmrl_agents.checkpoints import save_policy
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.monitor.dynamics import action_dim, action_features
from mmrl_agents.monitor.monitor import SensorMonitor
from mmrl_agents.monitor.recording import fit_monitor, record
from mmrl_agents.monitor.trial import findings, misfits, trials, watch
from mmrl_agents.robustness import Condition
from mmrl_agents.vec_env import GymnasiumVecEnv
from mmrl_envs import VectorSensorDropout
from tests.agents.watched import ACTIONS, LATENT, QUICK, PlainEncoder, points

LIE = {"pattern": "intervals", "intervals": [[8, 20]], "mechanism": "bias", "strength": 0.1}


def agent_of(encoder: PlainEncoder) -> LatentPolicy:
    space = spaces.Box(-np.inf, np.inf, (LATENT,), np.float32)
    torch.manual_seed(0)
    policy = build_policy(AgentConfig(policy_kwargs={"net_arch": [8]}), space, ACTIONS)
    return LatentPolicy(encoder, policy)


@pytest.fixture(scope="module")
def agent() -> LatentPolicy:
    return agent_of(PlainEncoder())


@pytest.fixture(scope="module")
def monitor(agent: LatentPolicy) -> SensorMonitor:
    settings = replace(QUICK, samples=6400, calibration=3200)
    made = SensorMonitor(agent.latents.encoder, ACTIONS, settings)
    fit_monitor(made, agent, points, seed=0)
    return made


def test_recording_mixes_in_random_actions(agent: LatentPolicy, monitor: SensorMonitor) -> None:
    shares = np.array([0.0, 0.0, 1.0, 1.0])
    made = record(monitor, agent, points(4), 200, shares, seed=3)
    assert made.latents.shape == (50, 4, 2, LATENT)
    assert np.flatnonzero(made.first[:, 0]).tolist() == [0, 25]
    readings = made.latents.astype(np.float32)
    own = [
        agent.act({name: readings[t, :, i] for i, name in enumerate(monitor.names)}, made.first[t])
        for t in range(50)
    ]
    assert np.allclose(made.actions[:, :2], np.stack(own)[:, :2], atol=1e-5)
    assert made.actions[:, 2:].std() > 0.4
    again = record(monitor, agent, points(4), 200, shares, seed=3)
    assert np.array_equal(made.actions, again.actions)


def test_trials_find_the_fault_and_save_the_agent_from_it(
    agent: LatentPolicy, monitor: SensorMonitor
) -> None:
    faults = {"bias": {"mechanism": "bias", "strength": 0.1}}
    times = {"pattern": "intervals", "intervals": [[8, 20]]}
    made = list(trials(agent, monitor, points, faults, times, episodes=20, seed=5))
    assert [(t.fault, t.channel) for t in made] == [("bias", "left"), ("bias", "right")]
    healthy = watch(agent, monitor, points, Condition(""), episodes=20, seed=5, silent=True)
    found = findings(
        made, monitor.names, healthy.rewards, dict.fromkeys(monitor.names, np.ones(20))
    )
    for finding in found:
        assert finding.auroc > 0.95
        assert finding.auroc_helped > 0.95
        assert finding.delay < 1
        assert finding.missed == 0
        assert finding.found > 0.95
        assert finding.false_alarms < 0.06
        assert finding.healthy == pytest.approx(healthy.rewards.mean())
        assert finding.announced == 1
        assert abs(finding.helped - finding.healthy) < abs(finding.without - finding.healthy)
    trial = made[0]
    assert trial.alone.faulty[8:20, :, 0].all()
    assert not trial.alone.faulty[..., 1].any()
    assert not monitor.silent
    assert agent.latents.monitor is None


def test_faults_befall_the_sensors_that_they_fit() -> None:
    occlusion = {"pattern": "fixed", "mechanism": "occlusion", "size": 0.5}
    assert misfits(points, LIE, ["left", "right"]) == {}
    unfit = misfits(points, occlusion, ["left", "right"])
    assert list(unfit) == ["left", "right"]
    assert "occlusion needs an image" in unfit["left"]
    with pytest.raises(ValueError, match="unknown keys"):
        misfits(points, {**LIE, "size": 0.5}, ["left", "right"])


def test_faults_that_fit_no_sensor_are_not_tried(
    agent: LatentPolicy, monitor: SensorMonitor
) -> None:
    faults = {"occlusion": {"mechanism": "occlusion", "size": 0.5}}
    times = {"pattern": "fixed"}
    assert not list(trials(agent, monitor, points, faults, times, episodes=2, seed=0))


def test_a_vec_env_reports_and_leaves_out_the_liar(
    agent: LatentPolicy, monitor: SensorMonitor
) -> None:
    def rollout(watcher: SensorMonitor | None) -> tuple[np.ndarray, list[Any]]:
        envs = VectorSensorDropout(points(3), [{**LIE, "channels": ["left"]}])
        venv = LatentVecEnv(GymnasiumVecEnv(envs), agent.latents.encoder, monitor=watcher)
        venv.seed(0)
        latents, reports = [venv.reset()], []
        for _ in range(24):
            latent, _, _, infos = venv.step(np.zeros((3, 1), np.float32))
            latents.append(latent)
            reports.append([info.get("monitor") for info in infos])
        ended = venv.step(np.zeros((3, 1), np.float32))
        assert ended[2].all()
        assert all(i["terminal_observation"].shape == (LATENT,) for i in ended[3])
        return np.stack([np.asarray(part) for part in latents]), reports

    monitor.reset()
    watched, reports = rollout(monitor)
    plain, nothing = rollout(None)
    assert not any(report for row in nothing for report in row)
    assert set(reports[0][0]) == {"left", "right"}
    believed = np.array([[r["left"]["believed"] for r in row] for row in reports])
    assert not believed[8:18].any()
    assert all(r["right"]["believed"] for r in reports[12])
    # a bias of .1 of a range of 20: half of it in the mean of both, none of it without the liar
    assert np.allclose(plain[9:20] - watched[9:20], 1.0, atol=0.1)


def run_folder(path: Path, finetune: bool = False) -> PlainEncoder:
    encoder = PlainEncoder()
    config = AgentConfig(policy_kwargs={"net_arch": [8]}, n_envs=2)
    checkpoint.save(encoder, path)
    venv = training_env(config, GymnasiumVecEnv(points(2)), None if finetune else encoder)
    save_policy(build_agent(config, venv, seed=0), config, path / "policy.zip")
    return encoder


def test_an_agent_in_a_control_loop_is_watched_if_asked_for(
    monitor: SensorMonitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, PlainEncoder.name, PlainEncoder)
    monkeypatch.setattr(
        PlainEncoder, "from_description", classmethod(lambda cls, modalities, config: cls())
    )
    run_folder(tmp_path)
    with pytest.raises(CheckpointError, match="no monitor at"):
        Agent.load(tmp_path, monitor=True)
    monitor.save(tmp_path)
    assert Agent.load(tmp_path).monitor is None
    agent = Agent.load(tmp_path, monitor=True)
    assert agent.monitor is not None
    env = points(1)
    observations, _ = env.reset(seed=0)
    for t in range(20):
        reading = {name: values[0] for name, values in observations.items()}
        if t >= 10:
            reading["right"] = reading["right"] + 2
        action = agent.act(reading)
        observations, *_ = env.step(np.asarray(action)[None])
    report = agent.monitor.report()
    assert report["left"]["believed"]
    assert not report["right"]["believed"]
    assert report["right"]["score"] > report["left"]["score"]


def test_an_agent_without_an_encoder_cannot_be_watched(tmp_path: Path) -> None:
    run_folder(tmp_path, finetune=True)
    with pytest.raises(CheckpointError, match="frozen encoder, which it does not have"):
        Agent.load(tmp_path, monitor=True)


@pytest.mark.parametrize(
    ("space", "actions", "features"),
    [
        (spaces.Box(-1, 1, (2, 1)), [[[1.0], [2.0]]], [[1, 2]]),
        (spaces.Discrete(3, start=1), [1, 3], [[1, 0, 0], [0, 0, 1]]),
        (spaces.MultiDiscrete([2, 3]), [[1, 2]], [[0, 1, 0, 0, 1]]),
        (spaces.MultiBinary(2), [[0, 1]], [[0, 1]]),
    ],
)
def test_actions_become_numbers(space: spaces.Space[Any], actions: Any, features: Any) -> None:
    made = action_features(space, np.asarray(actions))
    assert made.tolist() == features
    assert made.shape[1] == action_dim(space)


def test_actions_of_other_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match="got Text"):
        action_features(spaces.Text(3), np.zeros(2))
