"""Whoever gives a setting's old name is told the new one, and CHANGELOG.md has the same table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException

from mmrl.control.config import from_mapping
from mmrl.renamed import RENAMED, RENAMED_VALUES
from mmrl.runs.command_line import OPEN, _readable
from mmrl.settings import ConfigError
from tests.mmrl.control.test_config import composed, config

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def leaf(key: str) -> str:
    return key.rpartition(".")[2]


def parent(key: str) -> str:
    return key.rpartition(".")[0]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_file_with_an_old_name_is_told_the_new_one(old: str, new: str) -> None:
    content = composed()
    group: Any = content
    for name in new.split(".")[:-1]:
        group = group[name]
    group[old.rpartition(".")[2]] = group.pop(new.rpartition(".")[2], None)
    with pytest.raises(ConfigError, match=rf"{leaf(old)} is called \S*{leaf(new)} now$"):
        from_mapping(content)


@pytest.mark.parametrize(("old", "new"), RENAMED_VALUES.items())
def test_an_old_value_is_answered_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"^{old} is called {new} now$"):
        config(old)


@pytest.mark.parametrize(
    ("old", "new"), [(old, new) for old, new in RENAMED.items() if parent(old) not in OPEN]
)
def test_a_command_with_an_old_name_is_told_the_new_one(old: str, new: str) -> None:
    *groups, _ = new.split(".")
    given = ".".join((*groups, leaf(old)))
    with pytest.raises(HydraException) as refused:
        composed(f"{given}=3")
    assert re.search(rf"{leaf(old)} is called \S*{leaf(new)} now", _readable(refused.value))


def test_the_changelog_has_the_table() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(\S+)` \|", CHANGELOG.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == RENAMED | RENAMED_VALUES
