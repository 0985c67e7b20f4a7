"""The wheel holds every package, configuration and data file, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "mmrl": "mmrl",
    "mmrl/configs": "configs",
    "mmrl_agents": "agents/mmrl_agents",
    "mmrl_envs": "envs/mmrl_envs",
}
GENERATED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a copy of what it is built from, with a new subpackage."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in ("mmrl", "envs", "agents", "configs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=GENERATED)
    (copy / "mmrl/brand_new").mkdir()
    (copy / "mmrl/brand_new/__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    options = ["--quiet", "--disable-pip-version-check", "--wheel-dir", str(copy / "dist")]
    subprocess.run([*command, *options, str(copy)], check=True, timeout=120)
    (path,) = (copy / "dist").glob("mmrl-*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def source_files() -> set[str]:
    """What should be in the wheel, by its name there."""
    return {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_all_files(wheel: set[str]) -> None:
    packed = {name for name in wheel if ".dist-info/" not in name}
    assert packed - {"mmrl/brand_new/__init__.py"} == source_files()


def test_new_subpackages_are_found(wheel: set[str]) -> None:
    assert "mmrl/brand_new/__init__.py" in wheel


def test_wheel_says_that_it_is_typed(wheel: set[str]) -> None:
    assert {f"{name}/py.typed" for name in ("mmrl", "mmrl_agents", "mmrl_envs")} <= wheel


def test_wheel_has_the_licence(wheel: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


@pytest.mark.parametrize("folder", [ROOT, Path(ROOT.anchor)], ids=["checkout", "elsewhere"])
def test_configurations_are_found_wherever_python_runs(folder: Path) -> None:
    # In the checkout the folder mmrl/, which has no configs/, comes first on the path.
    code = "from importlib import resources; print(resources.files('mmrl.configs'))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert (Path(found.strip()) / "__init__.py").is_file()
