"""Several methods, training rates and seeds in one folder, continued after a kill and joined."""

import csv
import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import Tensor

from mmrl.classification import entry
from mmrl.classification.entry import Classification
from mmrl.classification.task import classify
from mmrl.launch import assist
from mmrl.methods import Supervised
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console
from mmrl.runs.sweep import SweepFailedError, check_sweep, run_content, run_sweep
from mmrl.settings import ConfigError

TASK = Classification()
METHODS = ("concat", "late_fusion")
SMALL = [
    "missing.test=[0.5]",
    "fit.steps=4",
    "fit.batch_size=8",
    "fit.validate_every=2",
    "fit.accelerator=cpu",
    "device=cpu",
    "sweep.rates=[0.0,0.5]",
    "sweep.seeds=[0,1]",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, size in {"train": 60, "test": 30}.items():
        arrays[f"{split}/left"] = rng.normal(size=(size, 3)).astype(np.float32)
        arrays[f"{split}/right"] = rng.normal(size=(size, 2)).astype(np.float32)
        arrays[f"{split}/target"] = np.arange(size) % 3
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, **arrays)
    return path


def content(data: Path, *overrides: str, methods: tuple[str, ...] = METHODS) -> dict[str, Any]:
    members = [f"+method@sweep.runs.{name}.method={name}" for name in methods]
    chosen = ["task=classification", "data=file", f"data.path={data}", *members, *SMALL]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=[*chosen, *overrides]))
    plain.pop("resume")
    return plain


def start(settings: Mapping[str, Any], path: Path) -> RunFolder:
    check_sweep(TASK, settings)
    run = RunFolder.open(path) if path.exists() else RunFolder.create(path, settings)
    run_sweep(TASK, run, make_console())
    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_runs_are_trained_once_and_joined(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    limit = 3

    def until(config: Any, found: Any, member: RunFolder, console: Any) -> None:
        if len(trained) == limit:
            raise KeyboardInterrupt
        trained.append(member.path.name)
        classify(config, found, member, console)

    monkeypatch.setattr(entry, "classify", until)
    settings, path = content(data), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        start(settings, path)
    assert not (path / "summary.csv").exists()
    limit = 99
    run = start(settings, path)
    expected = [
        f"{name}-train{rate}-seed{seed}"
        for seed in (0, 1)
        for rate in ("0", "0.5")
        for name in METHODS
    ]
    assert trained == expected
    assert set(rows_of(path / "scores.csv")[0]) >= {"label", "condition", "train_rate", "seed"}
    rows = rows_of(path / "summary.csv")
    found = {(r["label"], r["train_rate"], r["rate"], r["condition"]) for r in rows}
    subsets = ("left+right", "left", "right")
    assert found == {
        (m, train, test, s)
        for m in METHODS
        for train in ("0.0", "0.5")
        for test in ("0.0", "0.5")
        for s in subsets
    }
    assert {r["seeds"] for r in rows} == {"2"}
    assert all(float(r["ci_low"]) <= float(r["mean"]) <= float(r["ci_high"]) for r in rows)
    assert any(float(r["ci_low"]) < float(r["ci_high"]) for r in rows)
    # A panel for each subset: wide; and a plot over the test's rates for each training rate.
    with Image.open(path / "scores.png") as image:
        assert image.width > 2 * image.height
    assert (path / "scores-0.png").exists()
    assert (path / "scores-0.5.png").exists()
    assert run.path == path


@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_fails_stops_no_other(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    broken = True
    learn = Supervised.task_loss

    def diverging(method: Supervised, prediction: Tensor, y: Tensor) -> Tensor:
        loss = learn(method, prediction, y)
        return loss * torch.nan if broken and method.name == name else loss

    monkeypatch.setattr(Supervised, "task_loss", diverging)
    overrides = ["sweep.rates=[]", "missing.train=0.3", "sweep.seeds=[0]"]
    settings, path = content(data, *overrides), tmp_path / "run"
    with pytest.raises(SweepFailedError, match=rf"1 run failed: {name}-seed0; error.txt") as e:
        start(settings, path)
    assert f"resume={path}" in str(e.value)
    (other,) = set(METHODS) - {name}
    assert {row["label"] for row in rows_of(path / "scores.csv")} == {other}
    assert json.loads((path / "scores.json").read_text())["failed"] == [f"{name}-seed0"]
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{name}-seed0 failed: the loss became nan at step 1: lower lr" in printed
    assert f"one seed; 1 run failed: {name}-seed0" in printed
    text = (path / f"{name}-seed0" / "error.txt").read_text()
    assert text.startswith("Traceback")
    assert "FloatingPointError: the loss became nan" in text
    assert not RunFolder.open(path).stages
    broken = False
    run = start(settings, path)
    assert list(run.stages) == ["join"]
    assert not list(path.glob("*/error.txt"))
    assert {row["label"] for row in rows_of(path / "scores.csv")} == set(METHODS)
    assert "failed" not in capsys.readouterr().out


def test_where_all_runs_fail_nothing_is_joined(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(entry, "classify", fails)
    with pytest.raises(SweepFailedError, match="8 runs failed: concat-train0-seed0, "):
        start(content(data), tmp_path / "run")
    assert not list((tmp_path / "run").glob("scores*"))


def test_a_full_disk_ends_a_sweep(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(entry, "classify", fails)
    with pytest.raises(OSError, match="No space left"):
        start(content(data), tmp_path / "run")


def test_runs_differ_from_each_other_in_nothing_else(data: Path) -> None:
    settings = content(data)
    made = run_content(TASK, settings, "concat", 0.5, 3)
    assert (made["label"], made["seed"], made["method"]["name"]) == ("concat", 3, "concat")
    assert made["missing"] == {**settings["missing"], "train": 0.5}
    assert made["data"]["options"]["seed"] == 3
    assert made["sweep"] == {}
    for same in ("fit", "pretrain", "classifier", "experiment"):
        assert made[same] == settings[same]
    apart = content(data, "missing.valid=0.25", "missing.train=0.75")
    made = run_content(TASK, apart, "concat", 0.5, 3)
    assert (made["missing"]["train"], made["missing"]["valid"]) == (0.5, 0.25)
    assert run_content(TASK, apart, "concat", None, 3)["missing"] == apart["missing"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.seeds=[1,1]"], r"seeds must be at least one and differ, got \[1, 1\]"),
        (["sweep.seeds=[]"], r"seeds must be at least one"),
        (["sweep.rates=[0.0,1.5]"], r"sweep\.runs\.concat: .*below 1, got 1\.5"),
        (["+sweep.train=[0]"], r"unknown setting sweep\.train; known in sweep"),
        (
            ["encoder=outputs/latest"],
            r"sweep\.runs\.concat: encoder takes the place of a method, and this run has one",
        ),
        (
            ["+sweep.runs.odd.method={name: smile}"],
            r"sweep\.runs\.odd: method\.name is 'smile'; known",
        ),
        (["fit.batch_size=64"], r"sweep\.runs\.concat: .*fewer than fit\.batch_size=64"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    data: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sweep(TASK, content(data, *overrides))


def test_a_sweep_has_one_process(data: Path) -> None:
    with pytest.raises(ConfigError, match="trains in one process"):
        assist(content(data))


EXPERIMENTS = sorted(
    path.stem
    for path in (CONFIGS / "experiment").glob("*.yaml")
    if "sweep.runs" in path.read_text()
)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        # The path is what a user gives where the data are not shipped.
        composed = compose("train", overrides=[f"experiment={name}", "++data.path=null"])
    plain = to_plain(composed)
    assert plain["experiment"] == name
    assert len(plain["sweep"]["seeds"]) == 5
    labels = yaml.safe_load((CONFIGS / "experiment" / f"{name}.yaml").read_text())
    assert labels["sweep"]["seeds"] == plain["sweep"]["seeds"]
    assert all(run["method"]["name"] for run in plain["sweep"]["runs"].values())
