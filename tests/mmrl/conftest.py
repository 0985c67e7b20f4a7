"""Classification data and a finished run, once for each module that asks for them."""

from pathlib import Path

import numpy as np
import pytest

from mmrl.runs.folder import RunFolder
from tests.mmrl.small_classification import LEARNS, arrays, run_here


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for kind in ("classes", "numbers", "labels"):
        np.savez_compressed(made / f"{kind}.npz", **arrays(kind))  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    where = tmp_path_factory.mktemp("outputs") / "run"
    return run_here(where, folder / "classes.npz", "method=concat", *LEARNS)
