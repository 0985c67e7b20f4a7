"""Imports point one way, and only at what pyproject.toml declares."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"mmrl": "mmrl", "mmrl_envs": "envs/mmrl_envs", "mmrl_agents": "agents/mmrl_agents"}

# A module may import from its own row and the rows above it. Each module is in exactly one row.
LAYERS = (
    (
        "mmrl.files",
        "mmrl.modality",
        "mmrl.renamed",
        "mmrl.settings",
        "mmrl.subsets",
        "mmrl.weights",
    ),
    ("mmrl.losses", "mmrl.nn"),
    ("mmrl.methods", "mmrl.checkpoint"),
    ("mmrl.data", "mmrl.metrics", "mmrl.training", "mmrl.testing"),
    ("mmrl_agents",),
    ("mmrl.runs", "mmrl.report"),
    ("mmrl.control", "mmrl.classification"),
    ("mmrl.launch",),
    ("mmrl.defaults", "mmrl.evaluate", "mmrl.monitor", "mmrl.train"),
)
COMMANDS = LAYERS[-1]
TASKS = LAYERS[-3]
ONLY_IN = {
    "hydra": ("mmrl.runs.command_line",),
    "omegaconf": ("mmrl.runs.command_line", "mmrl.runs.composed"),
    "stable_baselines3": ("mmrl_agents", "mmrl.control"),
    "sb3_contrib": ("mmrl_agents", "mmrl.control"),
}
# All that the rows above the methods know of them: none by its class.
OF_METHODS = ("method", "settings", "supervised")
# What the environments may load; their extras on use.
ENVIRONMENTS_LOAD = {"cv2", "gymnasium", "numpy"}
ENVIRONMENTS_USE = ENVIRONMENTS_LOAD | {"gymnasium_robotics", "mujoco"}

DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


class Import(NamedTuple):
    """An imported module, and whether loading the file loads it (not a function, not a type)."""

    module: str
    at_load: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def module_files() -> dict[str, Path]:
    files = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return files


MODULES = module_files()


def imports(node: ast.AST, *, at_load: bool = True) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, at_load) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                name = f"{child.module}.{alias.name}"
                yield Import(name if name in MODULES else str(child.module), at_load)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            yield from imports(child, at_load=at_load and not later)


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def rows(module: str) -> list[int]:
    """The rows that a module is in: exactly one, as the tests demand."""
    return [i for i, row in enumerate(LAYERS) if is_in(module, row)]


def layer(module: str) -> int:
    if module == "mmrl":  # the package itself: whoever imports any part of it imports this
        return 0
    return (rows(module) or [len(LAYERS)])[0]


def names_of_methods(module: str, found: str) -> Iterator[str]:
    package, _, rest = found.partition("mmrl.methods.")
    if not package and rest not in ("", *OF_METHODS) and layer(module) > layer("mmrl.testing"):
        yield f"{module} imports {found}: what a method needs is asked of Method"


def complaints(module: str, source: str) -> Iterator[str]:
    """Each import in `source` that `module` may not have."""
    for found in imports(ast.parse(source)):
        ours = found.top in FOLDERS
        for library, places in ONLY_IN.items():
            if found.top == library and not is_in(module, places):
                yield f"{module} imports {library}, which only {', '.join(places)} may"
        if is_in(module, ("mmrl_envs",)):
            allowed = ENVIRONMENTS_LOAD if found.at_load else ENVIRONMENTS_USE
            known = {"mmrl_envs", *allowed, *sys.stdlib_module_names}
            if found.top not in known:
                yield f"{module} imports {found.module}; environments import {sorted(allowed)} only"
        elif module == "mmrl":
            if ours and found.at_load and layer(found.module) > layer("mmrl"):
                yield f"{module} loads {found.module}: `import mmrl` must stay light"
        elif ours and found.top != "mmrl_envs" and layer(found.module) > layer(module):
            yield f"{module} imports {found.module}, which stands above it"
        yield from names_of_methods(module, found.module)
        other = set(TASKS) - {task for task in TASKS if is_in(module, (task,))}
        if is_in(module, TASKS) and is_in(found.module, tuple(other)):
            yield f"{module} imports {found.module}: the tasks know nothing of each other"


def requirement_names(requirements: Iterable[str]) -> set[str]:
    return {normalized(re.split(r"[\s\[<>=!~;]", requirement)[0]) for requirement in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m != "mmrl" and not m.startswith("mmrl_envs")]
)
def test_each_module_is_in_one_row(module: str) -> None:
    assert len(rows(module)) == 1


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    assert list(complaints(module, MODULES[module].read_text("utf-8"))) == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_declared(module: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    core = requirement_names(project["dependencies"])
    extras = requirement_names(chain.from_iterable(project["optional-dependencies"].values()))
    for found in imports(ast.parse(MODULES[module].read_text("utf-8"))):
        if found.top in FOLDERS or found.top in sys.stdlib_module_names:
            continue
        name = normalized(DISTRIBUTIONS.get(found.top, found.top))
        assert name in (core if found.at_load else core | extras), (
            f"{module} imports {found.top}, but {name} is not "
            + ("a dependency" if found.at_load else "a dependency or in an extra")
        )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mmrl.modality", "import mmrl.losses"),
        ("mmrl.losses", "from mmrl.methods import METHODS"),
        ("mmrl.nn.encoders", "from mmrl import checkpoint"),
        ("mmrl.methods.gmc.method", "def f():\n    from mmrl.training.fit import fit"),
        ("mmrl.checkpoint", "from mmrl.data.arrays import ArrayData"),
        ("mmrl.training.fit", "import mmrl_agents.build"),
        ("mmrl.data.arrays", "from mmrl.runs.folder import RunFolder"),
        ("mmrl_agents.agent", "from mmrl.train import main"),
        ("mmrl_agents.agent", "import hydra"),
        ("mmrl.training.fit", "from omegaconf import DictConfig"),
        ("mmrl.data.collect", "from stable_baselines3 import SAC"),
        ("mmrl_envs.faults", "import torch"),
        ("mmrl_envs.faults", "def f():\n    from mmrl.modality import Modality"),
        ("mmrl_envs.wrappers.camera", "import mujoco"),
        ("mmrl", "from mmrl_agents.agent import Agent"),
        ("mmrl.runs.folder", "def f():\n    from mmrl.methods.smil.config import SMILConfig"),
        ("mmrl.control.task", "from mmrl.classification.task import classify"),
    ],
)
def test_wrong_imports_are_seen(module: str, source: str) -> None:
    assert len(list(complaints(module, source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mmrl", "def load(folder):\n    from mmrl_agents.agent import Agent"),
        ("mmrl.data.protocol", "from mmrl_envs.faults import make_faults"),
        ("mmrl.methods.gmc.method", "from mmrl.methods.method import Method"),
        ("mmrl.runs.command_line", "import hydra, mmrl_agents, mmrl.training.fit"),
        ("mmrl_agents.build", "import stable_baselines3"),
        ("mmrl_envs.wrappers.camera", "def f():\n    import mujoco"),
    ],
)
def test_right_imports_pass(module: str, source: str) -> None:
    assert list(complaints(module, source)) == []
