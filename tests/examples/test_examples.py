"""Every example runs from its first line to its last in an empty folder, and shows what it says."""

from __future__ import annotations

import ast
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.name: path for path in sorted((ROOT / "examples").glob("*.py"))}


def run(name: str, folder: Path) -> str:
    """What the example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES[name])],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def numbers(text: str, label: str) -> list[float]:
    """The numbers in the line that begins with a label."""
    (line,) = re.findall(rf"^ *{re.escape(label)}(.*)$", text, re.MULTILINE)
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", line)]


def test_wrap_an_environment(tmp_path: Path) -> None:
    pytest.importorskip("pygame", reason="needs mmrl[human]")
    shown = run("wrap_an_environment.py", tmp_path)
    rows = dict(re.findall(r"^  (\w+) +([#!.]{60})$", shown, re.MULTILINE))
    assert {name: set(marks) for name, marks in rows.items()} == {
        "angle": {"."},
        "camera": {".", "#"},
        "speed": {".", "!"},
    }
    for name, marks in rows.items():
        (percent,) = numbers(shown, f"{name}: faulty in ")
        assert percent == pytest.approx(100 - 100 * marks.count(".") / 60, abs=0.5)
    assert (tmp_path / "sensors.png").stat().st_size > 1000


@pytest.mark.slow
def test_train_your_own_sac(tmp_path: Path) -> None:
    shown = run("train_your_own_sac.py", tmp_path)
    assert "unimodal.image: ImageEncoder" in shown
    for lost in ("nothing", "image", "sound"):
        (reward,) = numbers(shown, f"without {lost}: ")
        assert reward > -2.0, f"random torque gets about -6; without {lost}: {reward}"
    saved = {path.name for path in (tmp_path / "my_sac").iterdir()}
    assert saved >= {"encoder.safetensors", "encoder.yaml", "sac.zip", "best_model.zip"}


@pytest.mark.slow
def test_measure_robustness(tmp_path: Path) -> None:
    shown = run("measure_robustness.py", tmp_path)
    _, trained, by_hand = numbers(shown, "angle+speed")
    assert min(trained, by_hand) > -600, "hanging still gets about -1500"
    assert max(numbers(shown, "angle missing")[1:]) < min(trained, by_hand)
    with (tmp_path / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    conditions = {(row["condition"], row["rate"]) for row in rows}
    assert len(rows) == 2 * 20 * len(conditions)
    assert len(conditions) == 3 + 3 + 2 * 8


@pytest.mark.slow
def test_classify_your_own_arrays(tmp_path: Path) -> None:
    shown = run("classify_your_own_arrays.py", tmp_path)
    both, photo, vibration, some = numbers(shown, "gmc_fused      ")
    assert both > max(photo, 0.9)
    assert min(photo, vibration, some) > 0.5, "four states are told by chance with 0.25"
    assert {path.name for path in tmp_path.glob("machine/*")} == {
        "encoder.safetensors",
        "encoder.yaml",
    }


@pytest.mark.slow
def test_classifier_in_a_policy(tmp_path: Path) -> None:
    shown = run("classifier_in_a_policy.py", tmp_path)
    for sensors in ("image+sound", "image", "sound"):
        (accuracy,) = numbers(shown, f"digits told by {sensors}: ")
        (reward,) = numbers(shown, f"{sensors}  ")
        assert accuracy > 0.8
        assert reward > -0.2


def test_every_example_is_run_and_says_how() -> None:
    tests = {node.name for node in ast.parse(Path(__file__).read_text("utf-8")).body
             if isinstance(node, ast.FunctionDef)}  # fmt: skip
    for name, path in EXAMPLES.items():
        assert f"test_{path.stem}" in tests
        assert f"    python examples/{name}\n" in path.read_text("utf-8")
