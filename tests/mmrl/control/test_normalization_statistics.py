"""Runs keep the statistics that their environment reads: folders can move, files can change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mmrl import evaluate
from mmrl.control.config import TrainConfig, from_mapping
from mmrl.control.entry import Control
from mmrl.control.envs import make_envs
from mmrl.control.normalization_statistics import config_of, keep_statistics
from mmrl.control.task import train
from mmrl.report.results import read_results
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console
from mmrl.runs.settings import to_stored
from mmrl.runs.sweep import SweepFailedError, run_sweep
from mmrl.runs.task import Work
from mmrl.settings import ConfigError
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics

SPLIT = "{name: split, slices: {angle: [0, 2], speed: [2, 3]}}"


def written(path: Path, mean: float) -> Path:
    statistics = ChannelStatistics({"speed": (1,)})
    statistics.update({"speed": np.array([[mean - 1], [mean + 1]])})
    statistics.save(path)
    return path


def config(statistics: Path, *overrides: str) -> TrainConfig:
    normalize = f"{{name: normalize, channels: [speed], statistics: {statistics}, update: false}}"
    settings = ["env=gymnasium", "env.id=Pendulum-v1", "+env.kwargs.max_episode_steps=20"]
    settings += [f"env.wrappers=[{SPLIT}, {normalize}]", "method=none", "device=cpu"]
    settings += ["agent=a2c", "agent.total_timesteps=40", "agent.n_envs=2", "evaluate.video=false"]
    settings += ["evaluate.episodes=2", "evaluate.n_envs=2", "evaluate.rates=[]"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=[*settings, *overrides]))
    plain.pop("resume")
    return from_mapping(plain)


def seen(made: TrainConfig) -> float:
    """The first speed that a policy sees."""
    observation, _ = make_envs(made.env, 1).reset(seed=0)
    return float(observation["speed"][0, 0])


def test_a_run_is_evaluated_and_continued_where_it_was_moved(tmp_path: Path) -> None:
    file = written(tmp_path / "channels.npz", 3.0)
    made = config(file)
    before = seen(made)
    run = RunFolder.create(tmp_path / "here" / "run", to_stored(made))
    train(made, run, make_console())
    file.unlink()
    moved = RunFolder.open((tmp_path / "here").rename(tmp_path / "there") / "run")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        quick = ["episodes=2", "n_envs=2", "rates=[]", "video=false"]
        evaluate.work(compose("evaluate", overrides=[f"run={moved.path}", *quick]))
    found = read_results(moved.path / "evaluation-1" / "robustness.json")
    assert len({result.condition for result in found}) == 3
    Control().prepare(config_of(moved))
    assert seen(config_of(moved)) == before


def test_statistics_that_change_later_change_no_run(tmp_path: Path) -> None:
    made = config(written(tmp_path / "channels.npz", 3.0))
    run = RunFolder.create(tmp_path / "run", to_stored(made))
    before = seen(keep_statistics(made, run.path))
    written(tmp_path / "channels.npz", 5.0)
    assert seen(made) != before
    assert seen(keep_statistics(made, run.path)) == before
    assert seen(config_of(run)) == before


def test_runs_without_a_copy_read_where_their_settings_say(tmp_path: Path) -> None:
    file = written(tmp_path / "channels.npz", 3.0)
    made = config(file)
    run = RunFolder.create(tmp_path / "run", to_stored(made))
    assert config_of(run) == made
    file.unlink()
    with pytest.raises(ConfigError, match=r"no statistics of channels at .*channels\.npz"):
        Control().prepare(config_of(run))


def test_a_sweep_keeps_them_for_runs_that_start_later(tmp_path: Path) -> None:
    file = written(tmp_path / "channels.npz", 3.0)
    made = config(file, "+sweep.runs={a: {}}")
    run = RunFolder.create(tmp_path / "run", to_stored(made))
    speeds = []

    class Failing(Control):
        def prepare(self, config: TrainConfig) -> Work:
            speeds.append(seen(config))
            raise FloatingPointError

    expected = seen(made)
    for _ in range(2):
        with pytest.raises(SweepFailedError):
            run_sweep(Failing(), run, make_console())
        file.unlink(missing_ok=True)
    assert speeds == [expected] * 2 * len(made.sweep.seeds)
