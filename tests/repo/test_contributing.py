"""CONTRIBUTING.md names files and commands that exist, and adds a method that works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
MADE = {name for language, name, _ in BLOCKS if language in ("python", "yaml")}
FILES = sorted(set(re.findall(r"`([\w./]+/[\w./]*|[\w.]+\.(?:md|toml|txt))`", TEXT)) - MADE)
COMMANDS = sorted(set(re.findall(r"\bmake (\w+)(?:`|  )", TEXT)))
SMALL = ["fit.steps=20", "missing.train=0.3", "missing.test=[0.5]", "device=cpu"]


@pytest.mark.parametrize("name", FILES)
def test_file_exists(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_exists(name: str) -> None:
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def added(text: str, diff: str) -> str:
    """A file with the lines of a diff; those around them must stand there once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] == " ")
    assert f"\n{text}".count(f"\n{before}") == 1, f"no single place for {diff}"
    return f"\n{text}".replace(f"\n{before}", "\n" + "".join(line[1:] for line in lines))[1:]


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_method_is_added_as_it_says(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("mmrl", "configs", "tests", "pyproject.toml"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    commands = []
    for language, name, content in BLOCKS:
        if language == "console":
            commands += content.splitlines()
        elif language == "diff":
            path = tmp_path / name
            path.write_text(added(path.read_text("utf-8"), content), "utf-8")
        else:
            (tmp_path / name).write_text(content, "utf-8")
    laws = run(
        tmp_path, "pytest", "-q", "tests/mmrl/methods/test_laws.py", "-k", "largest or left_out"
    )
    assert " passed" in laws
    (command,) = commands
    python, flag, module, *arguments = shlex.split(command)
    assert (python, flag) == ("python", "-m")
    run(tmp_path, module, *arguments, *SMALL)
    (scores,) = (tmp_path / "outputs").rglob("scores.csv")
    assert {line.split(",")[0] for line in scores.read_text("utf-8").splitlines()[1:]} == {
        "largest"
    }
