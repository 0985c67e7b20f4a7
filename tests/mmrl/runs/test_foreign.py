"""A run folder of somebody else cannot bring programs along."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmrl.control.config import EnvConfig
from mmrl.control.envs import make_envs
from mmrl.runs.folder import RunFolder
from mmrl.settings import ConfigError
from mmrl_envs.faults import make_faults

EVIL = "from pathlib import Path\nPath('ran').touch()\n\ndef f(x): return [True]\n"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module path of a run folder in the working directory, which Python looks into."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = {*sys.modules}
    run = RunFolder.create(tmp_path / "outputs" / "run", {"seed": 0})
    (run.path / "evil.py").write_text(EVIL)
    (run.path / "package").mkdir()
    (run.path / "package" / "__init__.py").write_text(EVIL)
    (tmp_path / "outputs" / "own.py").write_text("VALUE = 3\n")
    RunFolder.open(Path("outputs/run"))
    yield "outputs.run"
    for name in {*sys.modules} - before:
        if name.startswith("outputs"):
            del sys.modules[name]


@pytest.mark.parametrize("module", ["evil", "package", "package.deeper"])
def test_no_module_of_an_opened_folder_is_imported(opened: str, module: str) -> None:
    with pytest.raises(ImportError, match="lies in a run folder"):
        importlib.import_module(f"{opened}.{module}")
    assert not Path("ran").exists()


def test_a_link_to_it_changes_nothing(opened: str) -> None:
    Path("elsewhere").symlink_to("outputs/run")
    with pytest.raises(ImportError, match="lies in a run folder"):
        importlib.import_module("elsewhere.evil")
    assert not Path("ran").exists()


def test_modules_beside_it_are_the_users_own(opened: str) -> None:
    assert importlib.import_module("outputs.own").VALUE == 3
    assert importlib.import_module("json") is json


def test_environments_and_conditions_in_it_are_refused_in_a_sentence(opened: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be made: module .* lies in a run folder"):
        make_envs(EnvConfig(id=f"{opened}.evil:X-v0"), 1)
    fault = {"pattern": "state", "condition": f"{opened}.evil:f", "channels": ["a"]}
    with pytest.raises(ValueError, match="lies in a run folder"):
        make_faults([fault])
    assert not Path("ran").exists()
