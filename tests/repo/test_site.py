"""The documentation site builds without a warning, from this machine alone."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs mmrl[docs]")
ROOT = Path(__file__).parents[2]
NAV = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` writes."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages == set(NAV)
    assert len(NAV) == len(pages)


@pytest.mark.parametrize("page", NAV)
def test_page_says_something_and_loads_nothing_from_elsewhere(site: Path, page: str) -> None:
    html = (site / page).with_suffix(".html").read_text("utf-8")
    loaded = re.findall(r"<(?:script|img|link|iframe|source|video)\b[^>]*>", html)
    assert loaded
    assert not [tag for tag in loaded if re.search(r'(?:src|href)="(?:https?:)?//', tag)]
    body = html.partition("<article")[2].partition("</article>")[0]
    text = re.sub(r"<[^>]+>", "", body)
    assert len(text.split()) > 100, "the page is next to empty"
    assert "--8&lt;--" not in body, "a file was not included"


def test_reference_shows_docstrings_as_written(site: Path) -> None:
    html = (site / "reference/agents.html").read_text("utf-8")
    assert "Sum of rewards." in html
    assert "<blockquote>" not in html, "an example that is not set as code"
    assert ":class:" not in html


@pytest.mark.parametrize("name", ["hooks", "docstrings"])
def test_extensions_do_as_their_examples_say(name: str) -> None:
    module = importlib.import_module(f"docs.{name}")
    assert doctest.testmod(module) == (0, 1)
