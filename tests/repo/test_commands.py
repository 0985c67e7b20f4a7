"""Every command of README and docs is composed and read from another folder; those on links run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from mmrl import train
from mmrl.classification.config import CLASSIFICATION, classification_from_mapping
from mmrl.control.config import EvaluateConfig, from_mapping
from mmrl.control.measure import MeasureConfig
from mmrl.launch import resume
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.settings import typed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATTERN = r"python -m mmrl\.(train|evaluate|monitor)((?:[^`\n\\#]|\\\n)*)"
OF_OTHERS = ("--config-dir", "run=...", "--help", "run=RUN")
"""What needs files of the guide (tests/repo/test_your_robot.py runs it), or is no command yet."""


def commands() -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for page in PAGES:
        for name, arguments in re.findall(PATTERN, page.read_text("utf-8")):
            line = arguments.replace("\\\n", " ").strip()
            named_only = name != "train" and not line  # in a sentence
            if not named_only and not any(part in line for part in OF_OTHERS):
                found[name, line] = None
    return list(found)


COMMANDS = commands()


def plain(name: str, line: str) -> dict[str, Any]:
    words = shlex.split(re.sub(r"<[^>]*>", "run", line))
    overrides = [word for word in words if word != "-m"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    first = [
        f"{o.key_or_group}={next(iter(o.sweep_string_iterator()))}"
        if o.is_sweep_override()
        else word
        for o, word in zip(parsed, overrides, strict=True)
    ]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return to_plain(compose(name, overrides=first))


def test_all_are_found() -> None:
    assert len(COMMANDS) > 30
    assert {name for name, _ in COMMANDS} == {"train", "evaluate", "monitor"}
    assert sum("outputs/latest" in line for _, line in COMMANDS) >= 4


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=lambda part: part[:60])
def test_it_is_a_command(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = plain(name, line)
    if name == "evaluate":
        assert made.pop("run")
        assert isinstance(typed(MeasureConfig, made, "").for_run(EvaluateConfig()), EvaluateConfig)
    elif name == "train":
        made.pop("resume")
        made["env"] = made.get("env") or {}
        read = from_mapping if made["task"] != CLASSIFICATION else classification_from_mapping
        if made["task"] == CLASSIFICATION:
            made.pop("env")
        assert read(made).task == made["task"]


SMOKE = "experiment=smoke device=cpu fit.accelerator=cpu evaluate.video=false evaluate.probe=false"


def begin(*words: str) -> RunFolder:
    """A run as the command begins it, in this process."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        train.work(compose("train", overrides=[*SMOKE.split(), *words]))
    return RunFolder.open("outputs/latest")


def test_the_newest_run_can_be_built_upon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`outputs/latest` is read before the new run moves it, and can be continued from elsewhere."""
    monkeypatch.chdir(tmp_path)
    first = begin()
    for setting, where in (("encoder", ()), ("collect.policy", ("collect",))):
        second = begin(f"{setting}=outputs/latest")
        stored: Any = yaml.safe_load((second.path / "config.yaml").read_text())
        for group in where:
            stored = stored[group]
        given = stored[setting.rpartition(".")[2]]
        assert Path(given).is_absolute()
        assert Path(given).name == first.path.name
        assert "evaluate" in second.stages
        elsewhere = tmp_path / f"elsewhere-{setting}"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        again = resume(tmp_path / "outputs" / second.path.name)
        assert again.path.name == second.path.name
        monkeypatch.chdir(tmp_path)
        first = second
