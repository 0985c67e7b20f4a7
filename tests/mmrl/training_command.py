"""`python -m mmrl.train` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts it in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "mmrl.train", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_refused(folder: Path, arguments: list[str], message: str) -> None:
    """It ends with a sentence, before any work."""
    process = command(folder, *arguments)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
    assert list(folder.iterdir()) == [], "refused before any work"
