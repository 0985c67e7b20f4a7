"""docs/data.md is true: what it says one can run, runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmrl import checkpoint
from mmrl.data import load
from mmrl.data.__main__ import main as data_command
from mmrl.data.check import check_file
from mmrl.data.missingness import PATTERNS
from mmrl.data.protocol import Drawn
from mmrl.data.sets import LOADERS, SHIPPED
from mmrl.methods import METHODS
from mmrl.settings import typed
from mmrl.training.config import FitConfig

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "data.md").read_text("utf-8")
EXAMPLES: list[str] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PUBLISHED = [name for name in LOADERS if name not in (*SHIPPED, "file")]
"""Sets whose files are somebody else's: examples that load one are not run."""


def example(start: str) -> str:
    """The one block that assigns to this name first of all."""
    (found,) = [block for block in EXAMPLES if re.search(rf"^{start} = ", block, re.MULTILINE)]
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for a classifier of avmnist, which has learned nothing."""
    checkpoint.save(METHODS["concat"](load("avmnist").modalities), tmp_path / "outputs/latest")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code: str) -> dict[str, Any]:
    if name := next((n for n in PUBLISHED if f'load("{n}"' in code), None):
        pytest.skip(f"{name} is not shipped")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # our own page
    return names


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_runs_alone(code: str, place: Path) -> None:
    run(code)


def test_the_example_of_a_file_is_sound(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(example("arrays"))
    (arguments,) = re.findall(r"^    python -m mmrl.data (.*)$", TEXT, re.MULTILINE)
    assert data_command(arguments.split()) == 0
    assert "imu" in capsys.readouterr().out
    assert check_file("my_data.npz").warnings == []
    assert load("file", "my_data.npz").target_names == ("walk", "run", "fall")


def test_the_example_of_a_protocol_draws_what_it_says(place: Path) -> None:
    code = example("protocol")
    names = run(code)
    said = re.search(r"# (\{.*), \.\.\.\}", code)
    assert said
    realised = Drawn.load("missing").realised["train"]
    assert realised.items() >= yaml.safe_load(said[1] + "}").items()
    assert 1 - names["data"].train.available[:, 1].mean() == pytest.approx(0.9)


def test_the_example_of_augmentation_is_known() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    augment = typed(FitConfig, {"steps": 1, **yaml.safe_load(text)["fit"]}, "fit").augment
    assert list(augment) == ["camera", "imu", "joints"]


def test_everything_there_is_has_a_row() -> None:
    for name in (*LOADERS, *PATTERNS):
        assert f"`{name}`" in TEXT or f'"{name}"' in TEXT, name
