"""npz and npy files of plain arrays: read without executing what is in them, written atomically."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from mmrl.files import FileError, PathLike, brief, check_archive, open_plain, write_atomically


def read_npz(path: PathLike) -> dict[str, NDArray[Any]]:
    """All arrays of a file, by name.

    Raises:
        FileError: It is damaged, no npz file of plain arrays, or would fill the memory.
        OSError: It does not exist, or may not be read.
    """
    arrays = {}
    what = "npz file of plain arrays"
    with open_plain(path) as file, _reading(path, what), ZipFile(file) as archive:
        check_archive(archive)
        for member in archive.infolist():
            with archive.open(member) as content:
                name = member.filename.removesuffix(".npy")
                arrays[name] = _read_array(content, member.file_size)
    return arrays


def read_npy(path: PathLike) -> NDArray[Any]:
    """The array of a file.

    Raises:
        FileError: It is damaged, or no npy file of a plain array.
        OSError: It does not exist, or may not be read.
    """
    with open_plain(path) as file, _reading(path, "npy file of a plain array"):
        return _read_array(file, os.fstat(file.fileno()).st_size)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays by name, compressed; whole or not at all.

    Raises:
        OSError: The folder cannot be written; an earlier file is kept.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


@contextmanager
def _reading(path: PathLike, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what damaged archives and headers raise has no end
        raise FileError(f"{Path(path)} is damaged or no {what}: {brief(error)}") from error


def _read_array(file: Any, size: int) -> NDArray[Any]:
    """An array in npy format, where the file is as long as its header says."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise FileError("it holds records, or is of a later format than npy 2.0")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject or dtype.itemsize == 0:
        raise FileError("it holds Python objects or nothing at all")
    if prod(shape) * dtype.itemsize != size - file.tell() or max(shape, default=0) > size:
        raise FileError(f"an array of shape {shape} and type {dtype} would have another size")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):  # and its checksum is compared
        raise FileError("it is longer than its array")
    return array


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
