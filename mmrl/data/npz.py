"""npz files of plain arrays: read without executing what is in them, written atomically."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.files import write_atomically


def read_npz(path: Path | str) -> dict[str, NDArray[Any]]:
    """All arrays of a file, by name.

    Raises:
        ValueError: The file is damaged, no npz file, or holds Python objects.
        FileNotFoundError: There is none.
    """
    # Opened here: numpy leaves the file open where it is damaged.
    with Path(path).open("rb") as opened:
        try:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            with file:
                return {name: file[name] for name in file.files}
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged or no npz file of plain arrays: {error}"
            ) from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays by name, compressed; whole or not at all.

    Raises:
        OSError: The folder cannot be written; an earlier file is kept.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())
