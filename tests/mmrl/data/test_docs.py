"""What docs/data.md says one can run, runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from mmrl.config import CONFIGS
from mmrl.data import load
from mmrl.data.check import check_file
from mmrl.data.missingness import PATTERNS
from mmrl.data.protocol import Drawn
from mmrl.data.sets import LOADERS

TEXT = (Path(__file__).parents[3] / "docs" / "data.md").read_text()


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, own, protocol = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"data": load("avmnist")}
    exec(own, names)  # noqa: S102  # our own page
    assert check_file("my_data.npz").warnings == []
    assert load("file", "my_data.npz").target_names == ("walk", "run", "fall")
    exec(protocol, names)  # noqa: S102
    sound = 1 - names["data"].train.available[:, 1].mean()
    assert sound == pytest.approx(0.9)
    assert Drawn.load("missing").realised["train"]["overall"] == 0.45


def test_everything_there_is_has_a_row() -> None:
    methods = [path.stem for path in (CONFIGS / "method").glob("*.yaml") if path.stem != "none"]
    for name in (*LOADERS, *PATTERNS, *methods):
        assert f"`{name}`" in TEXT or f'"{name}"' in TEXT, name
