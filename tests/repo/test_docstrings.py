"""What a docstring says of an argument reads on its own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("mmrl", "envs", "agents", "benchmarks", "examples", "tools")
    for path in (ROOT / folder).rglob("*.py")
)
LEANS = re.compile(r"^\s+\w+: (Of |See there|The same|As (in|for|everywhere)\b).*", re.MULTILINE)
"""Begins with what only its name, its neighbour or another docstring completes."""


def leaning(source: str) -> list[str]:
    """Lines on arguments that do not say by themselves what they are about."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds):
            text = ast.get_docstring(node, clean=False) or ""
            found += [match.group().strip() for match in LEANS.finditer(text)]
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_lines_on_arguments_read_on_their_own(path: Path) -> None:
    assert leaning((ROOT / path).read_text("utf-8")) == []


@pytest.mark.parametrize("line", ["Of the clustering.", "See there.", "As in `Row`.", "The same."])
def test_lines_that_lean_on_others_are_seen(line: str) -> None:
    source = f'def f(seed):\n    """Does it.\n\n    Args:\n        seed: {line}\n    """\n'
    assert leaning(source) == [f"seed: {line}"]
