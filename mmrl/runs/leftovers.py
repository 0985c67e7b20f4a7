"""What killed processes leave behind: temporary files, which nobody would ever remove."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from mmrl.runs.lock import alone

TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}|\.state-.+")
"""Names of what is written before it is renamed, where nobody else has hidden files."""
NEW_RUN = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-.+\.[a-z0-9_]{8}|\.latest\.\d+")
"""The same where run folders are made, perhaps among other hidden files."""
WRITING = 60.0
"""Seconds after which nobody is still writing a file or a link."""


def sweep(folder: Path, names: re.Pattern[str]) -> None:
    """Removes temporary files and folders of processes that were killed while they wrote.

    Args:
        folder: Folder in which they lie; what another process is just making is left.
        names: Names that temporary files and folders have there, and nothing else.
    """
    for path in folder.glob(".*"):
        if names.fullmatch(path.name) is None:
            continue
        with suppress(OSError):
            if path.is_symlink() or not path.is_dir():
                if names is TEMPORARY or time.time() - path.lstat().st_mtime > WRITING:
                    path.unlink(missing_ok=True)
                continue
            with alone(path) as is_alone:
                if is_alone:
                    shutil.rmtree(path, ignore_errors=True)
