"""Arrays in npz files that others may have made."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: str | os.PathLike[str], most: int) -> dict[str, NDArray[Any]]:
    """All arrays of an npz file, by name; nothing in it is unpickled.

    Args:
        path: Where the file is.
        most: Bytes that the arrays can have.

    Raises:
        FileNotFoundError: There is no such file, or it is a folder, a pipe or a device.
        ValueError: It is damaged, something else, or larger.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > most:
                raise ValueError(f"its arrays are larger than {most} bytes")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy and zipfile raise many kinds
        what = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise ValueError(f"{os.fspath(path)} is damaged or no file of arrays: {what}") from error
