"""docs/faults.md and configs/faults/template.yaml name all there is, and what they say runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir

from mmrl.control.config import FaultsConfig, from_mapping
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl_envs.faults import MECHANISMS, PATTERNS, make_faults

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "faults.md").read_text("utf-8")
TEMPLATE = (CONFIGS / "faults" / "template.yaml").read_text("utf-8")


def table(first: str) -> dict[str, str]:
    """The last column of a table by the name in the first one."""
    _, _, rows = TEXT.partition(f"| {first} |")
    rows, _, _ = rows.partition("\n\n")
    return dict(re.findall(r"^\| `(\w+)` \|.*\|(.*?)\|$", rows, re.MULTILINE))


@pytest.mark.parametrize(("kind", "kinds"), [("pattern", PATTERNS), ("mechanism", MECHANISMS)])
def test_tables_have_every_parameter_and_its_default(kind: str, kinds: dict[str, Any]) -> None:
    rows = table(kind)
    assert list(rows) == list(kinds)
    for name, row in rows.items():
        said = dict(re.findall(r"`(\w+)`: ([^;]*)", row))
        fields = {field.name: field for field in dataclasses.fields(kinds[name])}
        assert list(said) == list(fields), name
        for parameter, words in said.items():
            default = fields[parameter].default
            has_default = default is not dataclasses.MISSING
            shown = "none" if default is None else str(default)
            assert (f"{shown} by default" in words) == has_default, (name, parameter)


def test_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    (specification,) = re.findall(r"```yaml\n(?!--8<--)(.*?)```", TEXT, re.DOTALL)
    make_faults(yaml.safe_load(specification))
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})  # noqa: S102  (our own)
    claims = re.findall(r"`(\[\d \d\] .*?\])`", TEXT)
    assert capsys.readouterr().out.splitlines() == claims


def test_commands_compose() -> None:
    commands = re.findall(r"^    python -m mmrl.train (.*)$", TEXT, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert made(*re.findall(r"'(.*?)'|(\S+)", command)).models, command


def made(*overrides: tuple[str, str]) -> FaultsConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=[a or b for a, b in overrides]))
    plain.pop("resume")
    config: Any = from_mapping(plain)
    make_faults(config.faults.models)
    faults: FaultsConfig = config.faults
    return faults


def test_the_template_explains_every_key() -> None:
    keys = [field.name for field in dataclasses.fields(FaultsConfig)]
    assert sorted(yaml.safe_load(TEMPLATE)) == sorted(keys)
    for name in (*PATTERNS, *MECHANISMS, "pattern:", "mechanism:", "channels:", "announced:"):
        assert name in TEMPLATE, name
    template, preset = made(("", "faults=template")), made(("", "faults=bernoulli"))
    assert make_faults(template.models) == make_faults(preset.models)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists()
