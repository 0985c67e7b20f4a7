"""Reading pickles without executing them: numpy arrays and plain containers only."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.dataset import DataError
from mmrl.files import FileError, brief, open_plain


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of old protocols write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return codecs.encode(text, "latin-1")


class _Type:
    """What a pickled type of numbers or text becomes; numpy's own would believe any state."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.dtype = np.dtype(_text(code))
        if self.dtype.kind not in "biufcSUO" or self.dtype.subdtype is not None:
            raise pickle.UnpicklingError(f"it holds an array of type {self.dtype}")

    def __setstate__(self, state: Any) -> None:
        _, order, subtype, names, fields, *rest = state
        if (subtype, names, fields) != (None, None, None) or len(rest) > 3:
            raise pickle.UnpicklingError("it holds an array of records")
        self.dtype = self.dtype.newbyteorder(_text(order))  # type: ignore[arg-type]

    @staticmethod
    def plain(found: Any) -> np.dtype[Any]:
        """The type that is found, if it has no objects: their bytes would be taken for pointers."""
        if not isinstance(found, _Type) or found.dtype.hasobject:
            raise pickle.UnpicklingError("it holds a forged array")
        return found.dtype


class _Array(np.ndarray):
    """An array that believes no more of its state than what plain arrays have."""

    def __setstate__(self, state: Any) -> None:
        *version, shape, kind, is_fortran, data = state
        if isinstance(data, list) and isinstance(kind, _Type) and kind.dtype == np.dtype("O"):
            dtype = kind.dtype
        else:
            dtype, data = _Type.plain(kind), _bytes(data)
        super().__setstate__((*version, shape, dtype, is_fortran, data))


class _NDArray:
    """Stands for `numpy.ndarray`, which files name, and which would take any memory if called."""

    def __new__(cls, *_: Any, **__: Any) -> _NDArray:
        raise pickle.UnpicklingError("it holds a forged array")


def _reconstruct(kind: Any, *_: Any) -> Any:
    if kind is not _NDArray:
        raise pickle.UnpicklingError("it holds a forged array")
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(kind: Any, data: Any) -> Any:
    dtype, content = _Type.plain(kind), _bytes(data)
    if len(content) != dtype.itemsize:
        raise pickle.UnpicklingError("it holds a number of another size than its type")
    return np.ndarray((), dtype, content)[()]


def _frombuffer(data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    found: NDArray[Any] = np.frombuffer(data, _Type.plain(kind)).reshape(shape, order=order)
    return found


def _text(code: Any) -> str:
    return code.decode("latin-1") if isinstance(code, bytes) else str(code)


def _bytes(data: Any) -> bytes:
    """Python 2 wrote them as text."""
    if not isinstance(data, bytes | bytearray | str):
        raise pickle.UnpicklingError("it holds a forged array")
    return codecs.encode(data, "latin-1") if isinstance(data, str) else bytes(data)


def _buffer(data: bytes | str = b"", encoding: str = "latin-1") -> bytearray:
    return bytearray(data if isinstance(data, bytes) else _encode(data, encoding))


def _made_of(kind: Callable[..., Any]) -> Callable[..., Any]:
    """Containers of what stands in the file; a number would be a size, for which memory is taken.

    Example:
        >>> _made_of(set)([1, 2])
        {1, 2}
    """

    def make(*content: Any) -> Any:
        if len(content) > 1 or not isinstance((*content, ())[0], list | tuple | dict):
            raise pickle.UnpicklingError(f"it holds a forged {kind.__name__}")
        return kind(*content)

    return make


_ARRAYS: dict[str, Any] = {"_reconstruct": _reconstruct, "scalar": _scalar}
_PLAIN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDArray,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}
_BUILTINS: dict[str, Callable[..., Any]] = {
    **{kind.__name__: _made_of(kind) for kind in (set, frozenset, list, dict, tuple)},
    "bytearray": _buffer,
    "complex": complex,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Finds what arrays and containers are made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module in ("builtins", "__builtin__") and name in _BUILTINS:
            return _BUILTINS[name]
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in _ARRAYS:
            return _ARRAYS[name]
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return _frombuffer
        raise pickle.UnpicklingError(f"it holds a {module}.{name}")


def read_pickle(path: Path | str) -> Any:
    """What a pickle holds, if that is numpy arrays, containers, text and numbers.

    Nothing in the file is executed: it cannot name any function or class beyond these. Pickles of
    Python 2 are read as well.

    Raises:
        DataError: The file is missing or damaged, or holds anything else.
    """
    try:
        with open_plain(path) as file:
            # Only arrays and containers can be found: this is the safe way to read these files.
            return _ArrayUnpickler(file, encoding="latin1").load()
    except (OSError, FileError) as error:
        raise DataError(f"cannot read {path}: {brief(error)}") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is not read: {error}; only numpy arrays, lists, dicts, text and numbers are, "
            "because a pickle can run any program when it is opened"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        what = f"{type(error).__name__}: {brief(error)}"
        raise DataError(f"{path} is damaged or no pickle ({what})") from error
