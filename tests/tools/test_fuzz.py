"""A sample of what `tools/fuzz.py` tries; all of it is tried by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.mmrl.small_classification import LEARNS, arrays, run_here

TOOL = Path(__file__).parents[2] / "tools" / "fuzz.py"
KINDS = ("config.yaml", "encoder.yaml", "mine.npz", "scores.json", "settings", "stages.json")


@pytest.mark.slow
def test_damaged_files_and_bad_settings_are_read_or_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", **arrays("classes"))  # type: ignore[arg-type]
    run = run_here(tmp_path / "run", tmp_path / "data.npz", "method=concat", *LEARNS)
    (tmp_path / "data.npz").rename(run.path / "mine.npz")
    (run.path / "config.yaml").write_text(
        (run.path / "config.yaml")
        .read_text()
        .replace(str(tmp_path / "data.npz"), str(run.path / "mine.npz"))
    )
    tried = subprocess.run(
        [sys.executable, str(TOOL), "300", "10", str(run.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr
    kinds = {line.split()[0] for line in tried.stdout.splitlines() if "'refused'" in line}
    assert kinds >= {*KINDS}
