"""One process at a time works in a folder."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    fcntl = importlib.import_module("fcntl")
except ImportError:  # Windows
    fcntl = None


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Locks a folder until the end of the context, or of the process, however it ends.

    The folder itself is locked: nothing is left in it. Some file systems of networks have no locks,
    nor has Windows: there everybody is taken for alone.

    Args:
        folder: That exists.

    Yields:
        Whether no other process has locked it.
    """
    if fcntl is None:
        yield True
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _is_locked(handle)
    finally:
        os.close(handle)


def _is_locked(handle: int) -> bool:
    assert fcntl is not None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
