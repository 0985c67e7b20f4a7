"""Writing files so that a crash, a kill or a full disk leaves the old one or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: into a temporary file beside it, then renamed.

    Args:
        path: Where to; missing folders are made, an earlier file is replaced.
        content: What.

    Raises:
        OSError: The disk is full or the folder cannot be written; an earlier file is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode())
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"could not write {path} ({error.strerror}); an earlier file is kept"
            raise OSError(error.errno, reason) from error
        raise


def _mode() -> int:
    """Permissions of a new file; temporary ones are for their owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
