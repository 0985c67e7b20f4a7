"""Links of the pages lead somewhere, and what they show in Python runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

import mmrl
from mmrl.runs.composed import CONFIGS, to_plain

ROOT = Path(__file__).parents[2]
FILES = ("README.md", "CONTRIBUTING.md")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (*(ROOT / name for name in FILES), *sorted((ROOT / "docs").rglob("*.md")))
}


def code(page: str) -> list[str]:
    """The blocks of Python on a page, files that are included left out."""
    return re.findall(
        r"^```python[^\n]*\n(?!--8<--)(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `outputs/latest`, as the command leaves it."""
    place = tmp_path_factory.mktemp("place")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        made = compose("train", ["experiment=smoke", f"outputs={place / 'outputs'}"])
    plain = to_plain(made)
    plain.pop("resume")
    mmrl.run(plain)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/start.md", "docs/python.md"])
def test_code_runs_from_top_to_bottom(
    page: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    names: dict[str, Any] = {}
    assert code(page)
    for block in code(page):
        exec(block, names)  # noqa: S102  # our own page
    if page == "README.md":
        assert names["observation"]["available"].tolist() == [1, 0], "as its comment says"


def test_examples_are_named_where_readers_look() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert f"`{path.name}`" in PAGES["README.md"]
        assert f'--8<-- "examples/{path.name}"' in PAGES["docs/python.md"]


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name: str) -> None:
    """The site's builder sees to those between its pages."""
    for target in re.findall(r"\]\(([\w/-]+\.\w+)(?:#[^)]*)?\)", PAGES[name]):
        assert (ROOT / target).exists(), target


def test_images_are_shown_somewhere() -> None:
    shown = {
        Path(target).name
        for text in PAGES.values()
        for target in re.findall(r"!\[.*?\]\((.*?)\)", text)
    }
    assert {path.name for path in (ROOT / "docs/images").iterdir()} == shown
