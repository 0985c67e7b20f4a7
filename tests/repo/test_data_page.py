"""docs/data.md is true: what it says one can run, runs, and its commands and README's compose."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from mmrl import checkpoint, monitor
from mmrl.classification.config import CLASSIFICATION, classification_from_mapping
from mmrl.classification.entry import Classification
from mmrl.control.config import from_mapping
from mmrl.control.measure import MeasureConfig
from mmrl.data import load
from mmrl.data.__main__ import main as data_command
from mmrl.data.check import check_file
from mmrl.data.missingness import PATTERNS
from mmrl.data.protocol import Drawn
from mmrl.data.sets import LOADERS, SHIPPED
from mmrl.methods import METHODS
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.sweep import run_content
from mmrl.settings import typed
from mmrl.training.config import FitConfig

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "data.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
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
    (command,) = [words for words in commands(TEXT) if words[0] == "mmrl.data"]
    assert data_command(command[1:]) == 0
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


def commands(text: str) -> list[list[str]]:
    """Module and arguments of each command, indented or in the text; `<...>` is anything."""
    text = text.replace("\\\n", " ")
    indented = re.findall(r"^ {4}python -m (mmrl\.\w+.*)$", text, re.MULTILINE)
    inline = re.findall(r"`python -m (mmrl\.\w+[^`]*)`", text)
    found = [re.sub(r"<.*?>", "any", line) for line in (*indented, *inline)]
    return [shlex.split(line, comments=True) for line in found]


WRITTEN = {
    " ".join(words): words
    for text in (TEXT, README)
    for words in commands(text)
    if words[0] != "mmrl.data"
}


def test_commands_are_found() -> None:
    assert {words[0] for words in WRITTEN.values()} == {
        "mmrl.train",
        "mmrl.evaluate",
        "mmrl.monitor",
    }
    assert len(WRITTEN) > 30


@pytest.mark.parametrize("words", WRITTEN.values(), ids=WRITTEN)
def test_every_command_composes(words: list[str]) -> None:
    (_, name), overrides = words[0].split("."), [w for w in words[1:] if w not in ("-m", "--help")]
    plain = composed(name, overrides)
    if name == "evaluate":
        plain.pop("run")
        typed(MeasureConfig, plain, "")
    elif name == "monitor":
        typed(monitor.CommandConfig, plain, "")
    else:
        plain.pop("resume")
        if plain["task"] != CLASSIFICATION:
            from_mapping(plain)
            return
        task = Classification()
        for label in classification_from_mapping(plain).sweep.runs:
            task.read(run_content(task, plain, label, None, 0))


def composed(name: str, overrides: list[str]) -> dict[str, Any]:
    """Settings of a command; of a sweep those of its first job."""
    parser = OverridesParser.create()
    for i, override in enumerate(parser.parse_overrides(overrides)):
        if override.is_sweep_override():
            key = override.get_key_element()
            overrides[i] = f"{key}={next(override.sweep_string_iterator())}"
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return to_plain(compose(name, overrides=overrides))


def test_everything_there_is_has_a_row() -> None:
    methods = [path.stem for path in (CONFIGS / "method").glob("*.yaml") if path.stem != "none"]
    for name in (*LOADERS, *PATTERNS, *methods):
        assert f"`{name}`" in TEXT or f'"{name}"' in TEXT, name


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists()
