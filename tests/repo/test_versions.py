"""The tested versions (constraints.txt) are within what pyproject.toml promises."""

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [
    Requirement(line)
    for line in sorted({*PROJECT["project"]["dependencies"], *chain.from_iterable(EXTRAS.values())})
]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


def constrained() -> dict[str, Version]:
    pairs = (line.split("==") for line in LINES)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("line", LINES)
def test_constraints_are_exact_and_fit_any_build(line: str) -> None:
    # A local suffix (+cpu) would tie the set to one build of a wheel.
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_tested_version_satisfies_requirement(requirement: Requirement) -> None:
    if requirement.name == "mmrl":
        assert requirement.extras <= EXTRAS.keys()
        return
    assert constrained()[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_requirement_has_a_lower_bound(requirement: Requirement) -> None:
    bounds = {specifier.operator for specifier in requirement.specifier}
    assert requirement.name == "mmrl" or ">=" in bounds


def test_torch_is_the_release_that_make_constraints_asks_for() -> None:
    asked = re.search(r"^TORCH \?= (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert asked is not None
    assert Version(asked[1]) == constrained()["torch"]


def test_make_constraints_resolves_every_extra() -> None:
    asked = re.search(r"^EXTRAS := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert asked is not None
    assert set(asked[1].split(",")) == EXTRAS.keys()


def test_pre_commit_pins_no_version_of_its_own() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    for repository in config["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert hook["entry"].startswith(".venv/bin/")


@pytest.mark.parametrize("tool", ["mypy", "ruff", "pytest"])
def test_tools_are_pinned_in_constraints_only(tool: str) -> None:
    for name in ("Makefile", "pyproject.toml", ".pre-commit-config.yaml", ".ci/run"):
        assert not re.search(rf"\b{tool}\s*==", (ROOT / name).read_text("utf-8")), name
    assert tool in constrained()
