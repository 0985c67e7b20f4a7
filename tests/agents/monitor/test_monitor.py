"""The monitor in a world of which everything is known: who lies, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

from mmrl.checkpoint import CheckpointError
from mmrl_agents.monitor.dynamics import Recording
from mmrl_agents.monitor.monitor import MonitorConfig, SensorMonitor
from tests.agents.watched import ACTIONS, QUICK, PlainEncoder, fitted, record, spoil

KINDS = ("noise", "freeze", "delay", "bias")


@pytest.fixture(scope="module")
def monitor() -> SensorMonitor:
    return fitted()


@pytest.fixture(scope="module")
def three() -> SensorMonitor:
    return fitted(channels=3)


def decisions(monitor: SensorMonitor, recording: Recording) -> np.ndarray:
    """Which sensors are believed at every step, (steps, envs, channels)."""
    believed = []
    monitor.reset()
    available = np.ones(recording.latents.shape[1:3], np.bool_)
    for latents, actions, first in zip(
        recording.latents, recording.actions, recording.first, strict=True
    ):
        believed.append(monitor.judge(latents, available, first))
        monitor.acted(actions)
    return np.stack(believed)


def test_false_alarms_come_at_the_chosen_rate(monitor: SensorMonitor) -> None:
    fresh = record(60, 200, 3)
    alarms = ~decisions(monitor, fresh)
    assert not alarms[fresh.first].any()
    rates = alarms[~fresh.first].mean(axis=0)
    assert ((rates > 0.005) & (rates < 0.04)).all()  # chosen: .02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", [0, 1])
def test_the_sensor_that_lies_is_found_and_the_other_is_believed(
    monitor: SensorMonitor, kind: str, channel: int
) -> None:
    healthy = record(40, 50, 4)
    believed = decisions(monitor, spoil(healthy, channel, kind, 10, 40))
    lying = believed[13:40]
    assert (~lying[..., channel]).mean() > 0.9
    assert lying[..., 1 - channel].mean() > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_a_sensor_that_recovers_is_believed_again(monitor: SensorMonitor, kind: str) -> None:
    believed = decisions(monitor, spoil(record(40, 50, 5), 0, kind, 10, 25))
    assert believed[30:].mean() > 0.95


def test_two_of_three_sensors_that_lie_are_told_from_the_third(three: SensorMonitor) -> None:
    spoilt = spoil(spoil(record(40, 50, 6, 3), 0, "noise", 10, 40), 2, "bias", 20, 40)
    believed = decisions(three, spoilt)[24:40]
    assert believed.mean(axis=(0, 1)) == pytest.approx([0, 1, 0], abs=0.1)


def test_one_sensor_is_always_believed(monitor: SensorMonitor) -> None:
    spoilt = spoil(spoil(record(40, 50, 7), 0, "noise", 0, 50), 1, "noise", 0, 50)
    noise = np.random.default_rng(0).normal(size=spoilt.latents.shape) * 3
    wild = Recording(spoilt.latents + noise, spoilt.actions, spoilt.first)
    believed = decisions(monitor, wild)
    assert believed.any(axis=2).all()
    assert not believed.all()


def test_the_last_sensor_that_delivers_is_believed_whatever_it_says(
    monitor: SensorMonitor,
) -> None:
    spoilt = spoil(record(10, 30, 8), 0, "noise", 0, 30)
    monitor.reset()
    for t in range(30):
        only = np.tile([True, t < 10], (10, 1))
        believed = monitor.judge(spoilt.latents[t], only, spoilt.first[t])
        monitor.acted(spoilt.actions[t])
        assert believed.any(axis=1).all()
        assert not (believed & ~only).any()


def test_values_of_sensors_that_do_not_deliver_mean_nothing(monitor: SensorMonitor) -> None:
    healthy = record(10, 40, 9)
    scores = []
    for filling in (0.0, 1e3):
        monitor.reset()
        for t in range(40):
            available = np.tile([True, t % 7 < 5], (10, 1))
            latents = np.where(available[..., None], healthy.latents[t], filling)
            monitor.judge(latents, available, healthy.first[t])
            monitor.acted(healthy.actions[t])
            scores.append(monitor.scores)
    assert np.allclose(scores[:40], scores[40:])


def test_what_happens_in_one_environment_means_nothing_for_another(
    monitor: SensorMonitor,
) -> None:
    healthy = record(6, 50, 10)
    spoilt = spoil(healthy, 0, "noise", 10, 30)
    mixed = healthy.latents.copy()
    mixed[:, 3:] = spoilt.latents[:, 3:]
    both = monitor.replay(Recording(mixed, healthy.actions, healthy.first))
    alone = monitor.replay(healthy)
    assert np.allclose(both[:, :3], alone[:, :3], atol=1e-4)
    assert not np.allclose(both[:, 3:], alone[:, 3:], atol=1.0)


def test_an_episode_begins_without_memory(monitor: SensorMonitor) -> None:
    spoilt = spoil(record(10, 100, 11), 0, "bias", 20, 50)  # lies when the first episode ends
    fresh = Recording(spoilt.latents[50:], spoilt.actions[50:], spoilt.first[50:])
    assert np.allclose(monitor.replay(spoilt)[50:], monitor.replay(fresh), atol=1e-4)


def test_replay_forgets(monitor: SensorMonitor) -> None:
    healthy = record(10, 40, 12)
    assert np.array_equal(monitor.replay(healthy), monitor.replay(healthy))


def test_the_same_seed_fits_the_same_monitor(monitor: SensorMonitor) -> None:
    again, other = fitted(), fitted(seed=1)
    assert np.array_equal(again.thresholds, monitor.thresholds)
    assert not np.array_equal(other.thresholds, monitor.thresholds)


def test_observations_are_represented_sensor_by_sensor(monitor: SensorMonitor) -> None:
    values = {name: torch.randn(5, 3) for name in monitor.names}
    latents = monitor.represent(values)
    assert np.allclose(latents[:, 0], values["left"])
    assert np.allclose(latents[:, 1], values["right"])
    monitor.reset()
    everything = np.ones((5, 2), np.bool_)
    assert monitor.look(values, everything, np.ones(5, np.bool_)).all()
    assert monitor.report(4)["left"]["believed"] is True


def test_a_silent_monitor_scores_and_leaves_everything(monitor: SensorMonitor) -> None:
    spoilt = spoil(record(10, 50, 13), 0, "bias", 10, 40)
    loud = monitor.replay(spoilt)
    monitor.silent = True
    try:
        assert decisions(monitor, spoilt).all()
        assert np.array_equal(monitor.replay(spoilt), loud)
    finally:
        monitor.silent = False


def test_a_saved_monitor_is_the_same(monitor: SensorMonitor, tmp_path: Path) -> None:
    monitor.save(tmp_path)
    loaded = SensorMonitor.load(tmp_path, monitor.encoder, ACTIONS)
    assert loaded.config == monitor.config
    assert np.array_equal(loaded.thresholds, monitor.thresholds)
    spoilt = spoil(record(10, 50, 14), 1, "freeze", 10, 40)
    assert np.array_equal(loaded.replay(spoilt), monitor.replay(spoilt))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["monitor.safetensors", "monitor.yaml"]


def test_nothing_to_load(monitor: SensorMonitor, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no monitor at .*python -m mmrl\.monitor run="):
        SensorMonitor.load(tmp_path, monitor.encoder, ACTIONS)


def test_files_that_are_not_its_own_are_refused(monitor: SensorMonitor, tmp_path: Path) -> None:
    def load(message: str, encoder: PlainEncoder | None = None) -> None:
        with pytest.raises(CheckpointError, match=message):
            SensorMonitor.load(tmp_path, encoder or monitor.encoder, ACTIONS)

    monitor.save(tmp_path)
    other = PlainEncoder().eval()
    other.scale_.data.fill_(2.0)
    load("fitted to another encoder", other)
    description, weights = tmp_path / "monitor.yaml", tmp_path / "monitor.safetensors"
    content = yaml.safe_load(description.read_text())
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8])
    load("damaged or belongs to another")
    weights.write_bytes(whole)
    for change, message in (
        ({"format": "else"}, "not a description of a monitor"),
        ({"version": 99}, "version 99"),
        ({"config": {"nonsense": 1}}, "does not describe a monitor"),
        ({"config": {"hidden": 8}}, "does not describe a monitor"),
    ):
        description.write_text(yaml.safe_dump({**content, **change}))
        load(message)
    description.write_text(yaml.safe_dump({k: v for k, v in content.items() if k != "config"}))
    load("has no config")
    description.write_text("a: [")
    load("damaged or no YAML")


def test_actions_of_another_size_are_refused(monitor: SensorMonitor, tmp_path: Path) -> None:
    monitor.save(tmp_path)
    with pytest.raises(CheckpointError, match="does not describe a monitor"):
        SensorMonitor.load(tmp_path, monitor.encoder, spaces.Discrete(4))


@pytest.mark.parametrize("channels", [1, 6])
def test_one_sensor_has_nothing_to_be_compared_with(channels: int) -> None:
    with pytest.raises(ValueError, match=f"compares 2 to 5 sensors, the encoder has {channels}"):
        SensorMonitor(PlainEncoder(channels), ACTIONS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"false_alarm_rate": 0.0}, "between 0 and 1, got 0"),
        ({"false_alarm_rate": 1.0}, "between 0 and 1, got 1"),
        ({"false_alarm_rate": 1e-6}, "at least 1000000 observations, got 15000"),
        ({"memory": 0}, "memory must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"uptime": 1.0}, "uptime must be more than 1 step"),
        ({"outage": float("nan")}, "outage must be more than 1 step"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MonitorConfig(**settings)  # type: ignore[arg-type]


def test_too_few_calibration_steps_are_refused() -> None:
    monitor = SensorMonitor(PlainEncoder().eval(), ACTIONS, QUICK)
    with pytest.raises(ValueError, match="39 steps are too few"):
        monitor.fit(record(5, 50, 1), record(1, 40, 2), 0)
