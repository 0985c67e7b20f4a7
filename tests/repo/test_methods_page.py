"""docs/methods.md has every method, with its settings."""

import re
from pathlib import Path

import pytest

from mmrl.methods import METHODS, Method

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "methods.md").read_text("utf-8")
OWN = {name: method for name, method in METHODS.items() if name != "downstream"}
PRESETS = sorted(path.stem for path in (ROOT / "configs" / "method").glob("*.yaml"))


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
def test_every_preset_is_told_of(name: str) -> None:
    assert re.search(rf"`{name}`", TEXT)


@pytest.mark.parametrize("name", OWN)
def test_every_method_has_a_cost(name: str) -> None:
    assert re.search(rf"^\| `{name}` \| [\d,]+ \| \d+ ms \| [\d.]+ ms \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("kind", OWN.values())
def test_settings_of_every_method_are_shown(kind: type[Method]) -> None:
    config = kind.Config
    shown = re.findall(r"^::: (\S+)$", TEXT, re.MULTILINE)
    wanted = {f"{config.__module__}.{config.__name__}", "mmrl.methods.supervised.SupervisedConfig"}
    assert wanted & set(shown)
