"""A Python user and the command line start from the same settings: the dataclasses'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mmrl.classification.config import DECIDED_BY_DATA
from mmrl.defaults import SCHEMAS
from mmrl.methods import METHODS
from mmrl.runs.composed import CONFIGS
from mmrl.runs.settings import RunSettings
from mmrl.settings import REQUIRED, plain_defaults
from tests.mmrl.control.test_config import composed

CONTROL = ["agent", "belief", "collect", "evaluate", "faults", "fit", "sweep"]
OF_THE_ALGORITHM = {"arguments", "policy_kwargs"}
"""Keyword arguments have other names for each algorithm: they stand in its file."""
CHOSEN = {"env": {"id", "angles", "reference"}, "data": {"name", "options", "missing"}}
"""What an environment or a data set is, besides how it is treated."""


@pytest.mark.parametrize("group", CONTROL)
def test_the_composed_defaults_of_control_are_the_dataclass(group: str) -> None:
    expected = plain_defaults(SCHEMAS[group])
    made = composed()[group]
    for name in OF_THE_ALGORITHM if group == "agent" else ():
        del made[name], expected[name]
    assert made == expected


@pytest.mark.parametrize(
    ("part", "group", "but"),
    [
        ("missing", "missing", {"test"}),  # ${data.rates}, which the dataclass has as numbers
        ("classifier", "classifier", set()),
        ("sweep", "sweep", set()),
        ("pretrain", "fit", set()),
        ("fit", "fit", {"lr", "validate_every"}),
    ],
)
def test_the_composed_defaults_of_classification_are_the_dataclass(
    part: str, group: str, but: set[str]
) -> None:
    made = composed("task=classification")
    expected = plain_defaults(SCHEMAS[group])
    assert made["missing"]["test"] == plain_defaults(SCHEMAS["missing"])["test"]
    differ = {name for name in expected if made[part][name] != expected[name]}
    assert set(made[part]) == set(expected)
    assert differ == but - {"test"}


@pytest.mark.parametrize(("group", "overrides"), [("env", []), ("data", ["task=classification"])])
def test_what_is_chosen_differs_only_in_what_it_is(group: str, overrides: list[str]) -> None:
    made, expected = composed(*overrides)[group], plain_defaults(SCHEMAS[group])
    assert {name for name in expected if made[name] != expected[name]} == CHOSEN[group]


def test_the_run_itself_has_the_defaults_of_its_dataclass() -> None:
    made, expected = composed(), plain_defaults(RunSettings)
    assert {k: made[k] for k in expected} == expected | {"label": "gmc"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"downstream"}))
def test_a_method_is_composed_of_its_defaults(name: str) -> None:
    expected = plain_defaults(METHODS[name].Config)
    expected = {k: v for k, v in expected.items() if k not in DECIDED_BY_DATA}
    assert composed(f"method={name}")["method"] == {"name": name, **expected}


def files() -> list[Path]:
    folders = ("agent", "data", "env", "faults", "fit")
    return sorted(path for f in folders for path in (CONFIGS / f).glob("[!t]*.yaml"))


@pytest.mark.parametrize("path", files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_files_hold_only_what_differs(path: Path) -> None:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8")) or {}
    defaults = plain_defaults(SCHEMAS[path.parent.name])
    bases = content.pop("defaults", [])
    if bases in ([], [f"/base_{path.parent.name}@_here_", "_self_"]):
        same = [k for k, v in content.items() if v == defaults[k] != REQUIRED]
        assert same == []


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_another_agent_collects_with_all_of_its_settings(algorithm: str) -> None:
    made = composed(f"+agent@collect.agent={algorithm}", "collect.agent.n_envs=3")
    expected = composed(f"agent={algorithm}", "agent.n_envs=3")["agent"]
    assert made["collect"]["agent"] == expected


def test_settings_are_overridden_without_a_plus() -> None:
    made = composed("fit.weight_decay=0.1", "env.processes=true", "method.temperature=0.5")
    assert made["fit"]["weight_decay"] == 0.1
    assert made["env"]["processes"] is True
    assert made["method"]["temperature"] == 0.5
