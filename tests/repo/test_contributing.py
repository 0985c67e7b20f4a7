"""CONTRIBUTING.md names files and commands that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
FILES = sorted(set(re.findall(r"`([\w./]+/[\w./]*|[\w.]+\.(?:md|toml|txt))`", TEXT)))
COMMANDS = sorted(set(re.findall(r"\bmake (\w+)(?:`|  )", TEXT)))


@pytest.mark.parametrize("name", FILES)
def test_file_exists(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_exists(name: str) -> None:
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
