"""Scores of classification runs: every subset and rate, of the checkpoint, joined over seeds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from mmrl import checkpoint
from mmrl.classification.check import check_classification
from mmrl.data.protocol import Drawn
from mmrl.evaluate import work as evaluate
from mmrl.methods import Supervised
from mmrl.runs.composed import CONFIGS
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.settings import ConfigError
from tests.mmrl.small_classification import LEARNS, config, rows_of, run_here, settings


def test_every_subset_and_every_rate_is_scored(finished: RunFolder) -> None:
    rows = rows_of(finished)
    assert list(rows[0]) == [
        "label",
        "condition",
        "rate",
        "train_rate",
        "seed",
        "metric",
        "value",
        "count",
    ]
    accuracy = {
        (row["condition"], float(row["rate"])): float(row["value"])
        for row in rows
        if row["metric"] == "accuracy"
    }
    subsets = ("image+sound", "image", "sound")
    assert list(accuracy) == [(subset, rate) for rate in (0.0, 0.5) for subset in subsets]
    assert min(accuracy[subset, 0.0] for subset in subsets) > 0.8
    assert accuracy["image+sound", 0.5] > 0.8
    # Half of the samples have nothing of a single modality, and their class is guessed.
    assert accuracy["image", 0.5] < accuracy["image", 0.0] - 0.1
    assert {(r["label"], float(r["train_rate"]), r["seed"]) for r in rows} == {("concat", 0.4, "0")}
    assert {r["metric"] for r in rows} == {
        "accuracy",
        "balanced_accuracy",
        "f1_weighted",
        "f1_macro",
    }


def test_the_scores_are_those_of_the_checkpoint(finished: RunFolder, folder: Path) -> None:
    made = config(folder / "classes.npz", "method=concat", *LEARNS)
    data = check_classification(made)
    method = checkpoint.load(finished.path)
    assert isinstance(method, Supervised)
    drawn = Drawn.load(finished.path / "missing" / "test-0.5")
    batch = data.test.batch(np.arange(len(data.test)))
    with torch.no_grad():
        found = method.predict(batch.values, torch.from_numpy(drawn.masks["test"])).argmax(1)
    value = float((found.numpy() == data.test.target).mean())
    wanted = [r for r in rows_of(finished) if r["rate"] == "0.5" and r["metric"] == "accuracy"]
    assert float(wanted[0]["value"]) == pytest.approx(value, abs=1e-6)


def test_runs_are_joined_over_seeds(
    finished: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "classes.npz"
    other = run_here(tmp_path / "other", path, "method=concat", "seed=1", *LEARNS)
    joined(finished, other)
    (out,) = finished.path.glob("evaluation-*")
    summaries = json.loads((out / "scores.json").read_text())["summaries"]
    values = [float(rows_of(run)[0]["value"]) for run in (finished, other)]
    assert summaries[0]["seeds"] == 2
    assert summaries[0]["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert summaries[0]["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert (out / "scores.png").exists()
    assert len((out / "scores.csv").read_text().splitlines()) == 2 * len(rows_of(other)) + 1
    assert "±" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="seed 0 occurs twice for 'concat'"):
        joined(finished, finished)
    with pytest.raises(ConfigError, match="episodes, video mean nothing for classification runs"):
        joined(finished, other, "episodes=3", "video=false")


def joined(first: RunFolder, second: RunFolder, *overrides: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        runs = f"run=[{first.path},{second.path}]"
        evaluate(compose("evaluate", overrides=[runs, *overrides]))


def test_a_run_without_scores_cannot_be_joined(folder: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", settings(folder / "classes.npz"))
    with pytest.raises(RunFolderError, match="the run has no results yet"):
        joined(run, run)
