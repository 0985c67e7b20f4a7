"""The command: a run from nothing to a plot, killed and continued, refused where it must be."""

import csv
import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir

import mmrl
from mmrl.control.config import TrainConfig, from_mapping
from mmrl.control.entry import Control
from mmrl.control.task import collect_stage, train
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.runs.progress import Curve, make_console, read_curve
from mmrl.runs.run import at_work
from mmrl.runs.settings import to_stored
from mmrl.runs.sweep import SweepFailedError, run_sweep
from mmrl.runs.task import Work
from tests.mmrl.training_command import assert_refused, command

STAGES = ["collect", "pretrain", "train", "evaluate"]
FILES = {
    "config.yaml",
    "versions.json",
    "stages.json",
    "encoder.safetensors",
    "encoder.yaml",
    "policy.zip",
    "metrics.json",
    "pretraining.csv",
    "training.csv",
    "training.png",
    "robustness.csv",
    "robustness.json",
    "robustness.png",
    "summary.csv",
}


def config(*overrides: str) -> TrainConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=["experiment=smoke", *overrides]))
    plain.pop("resume")
    return from_mapping(plain)


def run_here(folder: Path, *overrides: str) -> RunFolder:
    made = config("device=cpu", "fit.accelerator=cpu", *overrides)
    run = RunFolder.create(folder, to_stored(made))
    train(made, run, make_console())
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_here(tmp_path_factory.mktemp("outputs") / "run")


def test_a_run_leaves_everything(finished: RunFolder) -> None:
    files = {name for name in finished.files() if not name.startswith("tb/")}
    assert files >= FILES
    assert files - FILES == {next(iter(finished.path.glob("sensors.*"))).name}
    assert list(finished.stages) == STAGES
    events = [path.parent.name for path in finished.path.rglob("events.*")]
    assert "tb" in events
    assert any(name.startswith("policy") for name in events)


def test_a_run_reports_every_condition(finished: RunFolder) -> None:
    with (finished.path / "robustness.csv").open() as file:
        found = list(csv.DictReader(file))
    rows = [row for row in found if row["metric"] == "reward_per_step"]
    conditions = [(row["condition"], float(row["rate"])) for row in rows]
    assert conditions == [
        ("image+sound", 0.0),
        ("image", 0.0),
        ("sound", 0.0),
        ("bernoulli", 0.0),
        ("bernoulli", 0.5),
    ]
    assert {row["label"] for row in rows} == {"gmc"}
    realised = [float(row["value"]) for row in found if row["metric"] == "realised_rate"]
    assert realised[1] == 0.5


def test_metrics_hold_times_probes_and_costs(finished: RunFolder) -> None:
    metrics = finished.metrics()
    assert list(metrics["seconds"]) == STAGES
    assert list(metrics["pretrain"]["probe_r2"]) == ["image+sound", "image", "sound"]
    assert len(metrics["pretrain"]["probe_r2"]["image"]) == 3  # cos, sin, speed
    frames, latent = config().agent.total_timesteps, 10
    # Latents, not frames: two float32 latents and four scalars per transition.
    assert metrics["train"]["replay_megabytes"] == pytest.approx(
        frames * (2 * latent + 4) * 4 / 1e6
    )
    assert metrics["train"]["timesteps_per_second"] > 0


def test_curves_cover_the_whole_training(finished: RunFolder) -> None:
    losses = read_curve(finished.path / "pretraining.csv")
    assert list(losses) == ["step", "loss", "contrastive_image", "contrastive_sound"]
    assert losses["step"].tolist() == list(range(1, 11))
    rewards = read_curve(finished.path / "training.csv")
    assert rewards["timesteps"].tolist() == [40, 80, 120, 160, 200]


def test_a_finished_run_is_not_repeated(finished: RunFolder) -> None:
    before = {path: path.read_bytes() for path in finished.path.glob("*.*") if path.is_file()}
    again = RunFolder.open(finished.path)
    train(from_mapping(again.config), again, make_console())
    assert {path: path.read_bytes() for path in before} == before


def test_the_agent_acts_on_what_is_left(finished: RunFolder) -> None:
    agent = mmrl.load(finished.path)
    image = np.zeros((2, 60, 60), np.uint8)
    sound = np.full((2, 3, 2), np.nan, np.float32)
    blind = agent.act({"image": image, "sound": None})
    agent.reset()
    assert np.array_equal(agent.act({"image": image, "sound": sound}), blind)
    assert blind.shape == (1,)


def test_the_same_seed_gives_the_same_run(finished: RunFolder, tmp_path: Path) -> None:
    again = run_here(tmp_path / "run", "evaluate.video=false")
    for name in ("encoder.safetensors", "robustness.csv", "training.csv"):
        assert (again.path / name).read_bytes() == (finished.path / name).read_bytes(), name


def test_without_a_method_the_policy_sees_the_observation(tmp_path: Path) -> None:
    run = run_here(
        tmp_path / "run",
        "method=none",
        "faults=bernoulli",
        "agent.total_timesteps=120",
        "label=plain",
    )
    assert list(run.stages) == ["train", "evaluate"]
    assert not (run.path / "encoder.yaml").exists()
    # Both frames of every transition, and the mask.
    assert run.metrics()["train"]["replay_megabytes"] > 120 * 2 * 7200 / 1e6
    mmrl.load(run.path).act({"image": np.zeros((2, 60, 60), np.uint8)})


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_loses_nothing(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    made = from_mapping(finished.config)
    run = RunFolder.create(tmp_path / "run", to_stored(made))
    if stage == "pretrain":  # its input is gone when the finished run is
        with at_work(made, run, make_console()) as work:
            collect_stage(work)
    for earlier in STAGES[: STAGES.index(stage)]:
        run.stages[earlier] = finished.stages[earlier] | {"files": []}
    for name in ("encoder.safetensors", "encoder.yaml", "policy.zip"):
        (run.path / name).write_bytes((finished.path / name).read_bytes())
    fill_disk(monkeypatch, run.path)
    with pytest.raises(RunFolderError, match=f"disk is full: stage '{stage}'.*resume="):
        train(made, run, make_console())
    assert stage not in run.stages
    assert not list(run.path.glob(".*.safetensors.*"))


def fill_disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Lets every replacement of a file in a folder fail as on a full disk."""
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).startswith(str(folder)):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("mmrl.files.os.replace", full)


def test_a_sweep_joins_its_runs_and_continues(tmp_path: Path) -> None:
    runs = "{gmc: {}, plain: {method: {name: none}}}"
    made = config(
        "evaluate.video=false",
        "agent.total_timesteps=120",
        f"+sweep.runs={runs}",
        "sweep.seeds=[0,1]",
    )
    run = RunFolder.create(tmp_path / "run", to_stored(made))
    trained: list[str] = []

    class Until(Control):
        def __init__(self, limit: int, failing: str = "") -> None:
            self.limit, self.failing = limit, failing

        def prepare(self, config: TrainConfig) -> Work:
            work = super().prepare(config)

            def watched(folder: RunFolder, console: Any) -> None:
                trained.append(folder.path.name)
                if len(trained) > self.limit:
                    raise KeyboardInterrupt
                if folder.path.name == self.failing:
                    raise FloatingPointError("the loss became nan")
                work(folder, console)

            return watched

    with pytest.raises(KeyboardInterrupt):
        run_sweep(Until(2), run, make_console())
    with pytest.raises(SweepFailedError, match=r"1 run failed: gmc-seed1; error\.txt in"):
        run_sweep(Until(9, "gmc-seed1"), RunFolder.open(run.path), make_console())
    assert trained == ["gmc-seed0", "plain-seed0", "gmc-seed1", "gmc-seed1", "plain-seed1"]
    assert "the loss became nan" in (run.path / "gmc-seed1" / "error.txt").read_text()
    assert "gmc" in (run.path / "robustness.csv").read_text()
    assert not RunFolder.open(run.path).stages
    run_sweep(Until(9), RunFolder.open(run.path), make_console())
    assert trained[5:] == ["gmc-seed1"]
    with (run.path / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["label"], row["seed"]) for row in rows} == {
        (agent, seed) for agent in ("gmc", "plain") for seed in "01"
    }
    costs = {cost["agent"]: cost for cost in json.loads((run.path / "costs.json").read_text())}
    assert costs["plain"]["replay MB"] > 100 * costs["gmc"]["replay MB"]
    assert (run.path / "robustness.png").exists()


def test_curves_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,loss\n1,3.0\n2,2.5\n3,2.\n4,-")
    curve = Curve(path, "step")
    curve.add({"step": 3, "loss": 1.5})
    curve.add({"step": 5, "loss": 0.5})
    assert curve.text() == "step,loss\n1,3\n2,2.5\n3,1.5\n5,0.5\n"


def test_episodes_that_end_in_the_same_step_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    for rewards in ([1.0, 2.0], [3.0, 4.0]):  # the second attempt plays the same frames again
        curve = Curve(path, "timesteps")
        for frames in (100, 200):
            for reward in rewards:
                curve.add({"timesteps": frames, "reward": reward})
    assert curve.text() == "timesteps,reward\n100,3\n100,4\n200,3\n200,4\n"


def test_episodes_after_the_state_that_is_continued_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("timesteps,reward\n50,1.0\n60,2.0\n62,3.0\n74,4.0\n")
    curve = Curve(path, "timesteps")
    curve.go_on_from(60)  # its first episode ends later than those that are lost
    curve.add({"timesteps": 80, "reward": 5.0})
    assert curve.text() == "timesteps,reward\n50,1\n60,2\n80,5\n"


# The command itself, in processes of its own.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["agent.framez=3"], "unknown setting agent.framez; known in agent: algorithm, total_"),
        (["agent=sca"], "Available options in 'agent'"),
        (["env=gymnasium", "env.id=CartPole-v1"], "expected a Dict observation space"),
        (["+env.kwargs.stack=0"], "stack must be at least 1, got 0"),
        (["resume=elsewhere"], "no run folder at elsewhere"),
        (["agent.total_timesteps=["], "no viable alternative"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert_refused(tmp_path, arguments, message)


@pytest.mark.slow
def test_help_names_stages_groups_and_settings(tmp_path: Path) -> None:
    output, _ = command(tmp_path, "--help").communicate(timeout=600)
    for word in ("collect", "resume=", "agent: a2c", "experiment:", "learning_rate", "-m seed="):
        assert word in output


# What is there when a stage is under way, and long stages to be killed in.
UNDER_WAY = {
    "collect": ".collect",
    "pretrain": ".pretrain/fit.pt",
    "train": ".train/state-*",
    "evaluate": ".evaluate",
}
LONG = [
    "experiment=smoke",
    "collect.samples=20000",
    "fit.steps=60",
    "fit.save_every=0.2",
    "agent.total_timesteps=1000",
    "evaluate.episodes=20",
]


@pytest.mark.slow
def test_a_run_killed_in_every_stage_is_finished_by_resuming(tmp_path: Path) -> None:
    arguments = LONG
    finished: dict[str, Any] = {}
    for stage in STAGES:
        process = command(tmp_path, *arguments)
        kill_when(process, tmp_path / "outputs", UNDER_WAY[stage])
        (run,) = (tmp_path / "outputs").glob("*-smoke-*")
        assert RunFolder.open(run).stages == finished | RunFolder.open(run).stages
        finished = RunFolder.open(run).stages
        assert list(finished) == STAGES[: STAGES.index(stage)]
        arguments = [*LONG, "resume=outputs/latest"]
    process = command(tmp_path, *arguments)
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    assert "finished: collect, pretrain, train" in output
    done = RunFolder.open(run)
    assert {stage: done.stages[stage] for stage in finished} == finished
    assert set(done.files()) >= FILES
    assert read_curve(run / "pretraining.csv")["step"].tolist() == list(range(1, 61))
    refused = command(tmp_path, "resume=outputs/latest", "seed=7", "agent.total_timesteps=9")
    _, errors = refused.communicate(timeout=600)
    assert refused.returncode == 2
    assert "seed: 0 there, 7 here" in errors
    assert "agent.total_timesteps: 1000 there, 9 here" in errors
    assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == 0


def kill_when(process: subprocess.Popen[str], outputs: Path, pattern: str) -> None:
    deadline = time.monotonic() + 900
    while not list(outputs.glob(f"*-smoke-*/{pattern}")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {pattern} in time"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
