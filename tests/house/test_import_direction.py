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

# A module may import from its own row and the rows above it. What is in no row is a part of the
# entry points: it may import anything, and only entry points may import it.
LAYERS = (
    ("mmrl.modality",),
    ("mmrl.files",),
    ("mmrl.run_folder",),
    ("mmrl.nn", "mmrl.losses"),
    ("mmrl.methods", "mmrl.checkpoint"),
    (
        "mmrl.augment",
        "mmrl.data",
        "mmrl.fit",
        "mmrl.fit_config",
        "mmrl.metrics",
        "mmrl.plots",
        "mmrl.report",
        "mmrl.score_report",
        "mmrl.testing",
    ),
    ("mmrl_agents",),
)
ENTRY_POINTS = (
    "mmrl.train",
    "mmrl.evaluate",
    "mmrl.command_line",
    "mmrl.collecting",
    "mmrl.comparison",
    "mmrl.config",
    "mmrl.control",
    "mmrl.data.__main__",
)
ONLY_IN = {
    "hydra": ENTRY_POINTS,
    "omegaconf": ENTRY_POINTS,
    "stable_baselines3": ("mmrl_agents", *ENTRY_POINTS),
    "sb3_contrib": ("mmrl_agents", *ENTRY_POINTS),
}
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


def layer(module: str) -> int:
    if module == "mmrl":  # the package itself: whoever imports any part of it imports this
        return 0
    if is_in(module, ENTRY_POINTS):
        return len(LAYERS)
    return next((i for i, row in enumerate(LAYERS) if is_in(module, row)), len(LAYERS))


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


def requirement_names(requirements: Iterable[str]) -> set[str]:
    return {normalized(re.split(r"[\s\[<>=!~;]", requirement)[0]) for requirement in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


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
        ("mmrl.nn.trunks", "from mmrl import checkpoint"),
        ("mmrl.methods.gmc", "def f():\n    from mmrl.fit import fit"),
        ("mmrl.checkpoint", "from mmrl.data.arrays import ArrayData"),
        ("mmrl.fit", "import mmrl_agents.build"),
        ("mmrl.data.arrays", "from mmrl.data import __main__"),
        ("mmrl_agents.agent", "from mmrl.train import main"),
        ("mmrl_agents.agent", "import hydra"),
        ("mmrl.fit", "from omegaconf import DictConfig"),
        ("mmrl.data.collect", "from stable_baselines3 import SAC"),
        ("mmrl_envs.faults", "import torch"),
        ("mmrl_envs.faults", "def f():\n    from mmrl.modality import Modality"),
        ("mmrl_envs.camera", "import mujoco"),
        ("mmrl", "from mmrl_agents.agent import Agent"),
    ],
)
def test_wrong_imports_are_seen(module: str, source: str) -> None:
    assert len(list(complaints(module, source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mmrl", "def load(folder):\n    from mmrl_agents.agent import Agent"),
        ("mmrl.data.protocol", "from mmrl_envs.faults import make_faults"),
        ("mmrl.methods.gmc", "from mmrl.methods.method import Method"),
        ("mmrl.train", "import hydra, mmrl_agents, mmrl.fit"),
        ("mmrl_agents.build", "import stable_baselines3"),
        ("mmrl_envs.camera", "def f():\n    import mujoco"),
    ],
)
def test_right_imports_pass(module: str, source: str) -> None:
    assert list(complaints(module, source)) == []
