"""From Python as from the command line: runs and sweeps, continued, measured again, scored."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

import mmrl
from mmrl import train
from mmrl.runs.composed import CONFIGS
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import read_curve
from mmrl.settings import ConfigError
from tests.mmrl.small_classification import config, settings

QUICK = ("method=concat", "fit.steps=6", "fit.batch_size=16", "fit.validate_every=2")
QUIET = Console(quiet=True)


def test_a_classifier_from_python(folder: Path, tmp_path: Path) -> None:
    made = config(folder / "classes.npz", *QUICK)
    done = mmrl.run(made, tmp_path / "run", console=QUIET)
    assert done.path == tmp_path / "run"
    assert list(RunFolder.open(done.path).stages) == ["data", "fit", "score"]
    validation = read_curve(done.path / "validation.csv")
    assert done.score == pytest.approx(validation["accuracy"].max(), abs=1e-6)
    before = (done.path / "scores.json").read_bytes()
    assert mmrl.resume(done.path, console=QUIET) == done
    assert (done.path / "scores.json").read_bytes() == before
    out = mmrl.measure(done.path, console=QUIET)
    assert out == done.path / "evaluation-1"
    assert (out / "scores.png").is_file()


def test_plain_data_do_as_well_and_a_folder_is_never_used_twice(
    folder: Path, tmp_path: Path
) -> None:
    plain = settings(folder / "classes.npz", *QUICK)
    one = mmrl.run(plain, tmp_path / "run", console=QUIET)
    two = mmrl.run(plain, tmp_path / "run", console=QUIET)
    assert two.path.name == "run-2"
    assert one.score == two.score


def test_the_command_returns_the_score_that_sweepers_search_by(
    folder: Path, tmp_path: Path
) -> None:
    own = [f"data.path={folder / 'classes.npz'}", "data=file", f"outputs={tmp_path}", *QUICK]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("train", ["experiment=smoke_classification", "device=cpu", *own])
    score = train.work(composed)
    assert score == mmrl.resume(tmp_path / "latest", console=QUIET).score


def test_a_sweep_scores_the_mean_of_its_runs(folder: Path, tmp_path: Path) -> None:
    runs = {"concat": {}, "sum": {"method": {"name": "sum"}, "fit": {"steps": 8}}}
    sweep = {"runs": runs, "rates": [0.3], "seeds": [0, 1]}
    plain = {**settings(folder / "classes.npz", *QUICK), "sweep": sweep}
    done = mmrl.run(plain, tmp_path / "run", console=QUIET)
    names = {path.parent.name for path in done.path.glob("*/config.yaml")}
    assert names == {f"{label}-train0.3-seed{s}" for label in runs for s in (0, 1)}
    scores = [mmrl.resume(done.path / name, console=QUIET).score for name in names]
    assert done.score == pytest.approx(np.mean(scores))
    assert RunFolder.open(done.path / "sum-train0.3-seed1").config["fit"]["steps"] == 8
    assert RunFolder.open(done.path / "concat-train0.3-seed1").config["fit"]["steps"] == 6


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="task is 'regress'; known: control, classification"):
        mmrl.run({"task": "regress"}, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
