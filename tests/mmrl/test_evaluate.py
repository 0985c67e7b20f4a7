"""The evaluation command: several runs, own conditions, nothing overwritten."""

import csv
import json
from pathlib import Path

import gymnasium as gym
import pytest
from hydra import compose, initialize_config_dir
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from mmrl.control.config import TrainConfig, from_mapping
from mmrl.control.task import train
from mmrl.evaluate import work
from mmrl.report.results import MISSING_RATE, REALISED_RATE, RETURN, Result, read_results
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.runs.progress import make_console
from mmrl.runs.settings import to_stored
from mmrl.settings import ConfigError
from mmrl_envs.pendulum import MultimodalPendulumEnv

FILE = "robustness.json"
QUICK = ["episodes=3", "n_envs=3", "rates=[0.3]"]


def config(seed: int, *more: str) -> TrainConfig:
    overrides = ["experiment=smoke", f"seed={seed}", "evaluate.episodes=1", "evaluate.video=false"]
    overrides += ["evaluate.rates=[]", "env.kwargs.episode_length=20", *more]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(
            compose("train", overrides=[*overrides, "fit.steps=2", "agent.total_timesteps=120"])
        )
    plain.pop("resume")
    return from_mapping(plain)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    folders = []
    for seed in (0, 1):
        made = config(seed)
        run = RunFolder.create(tmp_path_factory.mktemp("outputs") / f"seed{seed}", to_stored(made))
        train(made, run, make_console())
        folders.append(run)
    return folders


def last_condition(folder: Path) -> dict[str, Result]:
    """What is in the files of the last condition, by metric."""
    results = read_results(folder / FILE)
    return {r.metric: r for r in results if r.condition == results[-1].condition}


def evaluate(*overrides: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = compose("evaluate", overrides=[*QUICK, *overrides])
    work(settings)


def test_results_go_into_a_new_folder_each_time(runs: list[RunFolder]) -> None:
    before = (runs[0].path / "robustness.csv").read_bytes()
    folders = sorted(runs[0].path.glob("evaluation-*"))
    evaluate(f"run={runs[0].path}")
    evaluate(f"run={runs[0].path}", "video=false", "seed=5")
    first, second = sorted(set(runs[0].path.glob("evaluation-*")) - set(folders))
    assert list(first.glob("sensors.*"))
    assert not list(second.glob("sensors.*"))
    assert read_results(first / FILE)[0].values != read_results(second / FILE)[0].values
    assert (runs[0].path / "robustness.csv").read_bytes() == before


def test_several_runs_are_joined_over_seeds(
    runs: list[RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(f"run=[{runs[0].path},{runs[1].path}]", "video=false")
    newest = max(runs[0].path.glob("evaluation-*"), key=lambda path: path.stat().st_mtime_ns)
    rows = read_results(newest / FILE)
    assert {row.seed for row in rows} == {0, 1}
    assert all(len(row.values) == 3 for row in rows if row.metric == RETURN)
    output = capsys.readouterr().out
    assert "intervals over seeds" in output
    assert list((newest / "tb").glob("events.*"))


def test_own_conditions_are_measured(runs: list[RunFolder]) -> None:
    spec = "{name: outages, rate: 0.2, faults: [{pattern: burst, outage: 2, uptime: 8}]}"
    evaluate(f"run={runs[1].path}", "video=false", f"conditions=[{spec}]", "score=return")
    (folder,) = runs[1].path.glob("evaluation-*")
    found = last_condition(folder)
    summaries = json.loads((folder / FILE).read_text())["summaries"]
    shown = [s for s in summaries if s["metric"] == RETURN][-1]
    assert shown["mean"] == pytest.approx(found[RETURN].mean)
    assert (found[RETURN].condition, found[RETURN].rate) == ("outages", 0.2)
    assert 0 < found[REALISED_RATE].mean < 0.6


def test_faults_that_nobody_announces_are_in_the_realised_rate(runs: list[RunFolder]) -> None:
    spec = "{name: frozen, faults: [{pattern: fixed, mechanism: freeze, channels: [sound]}]}"
    evaluate(f"run={runs[0].path}", "video=false", "rates=[]", f"conditions=[{spec}]")
    newest = max(runs[0].path.glob("evaluation-*"), key=lambda path: path.stat().st_mtime_ns)
    found = last_condition(newest)
    assert (found[MISSING_RATE].mean, found[REALISED_RATE].mean) == (0.0, 0.5)
    lines = list(csv.DictReader((newest / "robustness.csv").read_text().splitlines()))[-2:]
    assert [(line["metric"], line["value"]) for line in lines] == [
        ("missing_rate", "0.0"),
        ("realised_rate", "0.5"),
    ]
    events = EventAccumulator(str(newest / "tb")).Reload()
    shown = {kind: events.Scalars(f"{kind}/frozen")[0].value for kind in ("missing", "faulty")}
    assert shown == {"missing": 0.0, "faulty": 0.5}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("episodes=0", "episodes must be at least 1"),
        ("score=x", "score is 'x'; known: .*reward_per_step.*return"),
        ("rates=[2]", "rates must be at least 0 and below 1"),
        ("conditions=[{faults: []}]", r"conditions\[0\] needs name"),
        ("conditions=[{name: x, faults: [{pattern: fixed, channels: [smell]}]}]", "smell"),
        (
            "conditions=[{name: x, faults: [{pattern: fixed, mechanism: occlusion, size: 0.4}]}]",
            "condition 'x': occlusion needs an image .* 'sound' has shape",
        ),
        (
            "conditions=[{name: x, faults: [{pattern: fixd}]}]",
            r"conditions\[0\]: pattern must be one",
        ),
    ],
)
def test_bad_settings_are_refused_before_any_work(
    runs: list[RunFolder], override: str, message: str
) -> None:
    before = sorted(runs[0].path.glob("evaluation-*"))
    with pytest.raises(ConfigError, match=message):
        evaluate(f"run={runs[0].path}", override)
    assert sorted(runs[0].path.glob("evaluation-*")) == before


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", to_stored(config(0)))
    with pytest.raises(RunFolderError, match=r"no trained policy yet; finish it with.*resume="):
        evaluate(f"run={run.path}")


def test_a_sweep_is_refused_and_its_runs_are_named(tmp_path: Path) -> None:
    made = config(0, "+sweep.runs.plain.method.name=none", "sweep.seeds=[7]")
    run = RunFolder.create(tmp_path / "run", to_stored(made))
    with pytest.raises(RunFolderError, match=r"name the folder of one: .*/run/plain-seed7"):
        evaluate(f"run={run.path}")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="it is empty"):
        evaluate(f"run={tmp_path}")


def test_a_damaged_policy_is_refused(runs: list[RunFolder]) -> None:
    policy = runs[1].path / "policy.zip"
    content = policy.read_bytes()
    policy.write_bytes(content[: len(content) // 2])
    try:
        with pytest.raises(ValueError, match=r"policy\.zip is damaged"):
            evaluate(f"run={runs[1].path}")
    finally:
        policy.write_bytes(content)


def test_an_environment_that_cannot_be_drawn_costs_only_the_video(
    runs: list[RunFolder], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: MultimodalPendulumEnv) -> None:
        raise gym.error.DependencyNotInstalled("no graphics here")

    monkeypatch.setattr(MultimodalPendulumEnv, "render", broken)
    folders = set(runs[0].path.glob("evaluation-*"))
    evaluate(f"run={runs[0].path}", "video=true")
    (made,) = set(runs[0].path.glob("evaluation-*")) - folders
    assert (made / "robustness.csv").is_file()
    assert not list(made.glob("sensors.*"))
    assert "could not be rendered: no graphics here" in " ".join(capsys.readouterr().out.split())
