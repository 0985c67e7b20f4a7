"""Reading pickles without executing them: numpy arrays and plain containers only."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mmrl.data.dataset import DataError


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of old protocols write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return codecs.encode(text, "latin-1")


_ARRAYS = {"_reconstruct", "scalar"}
_PLAIN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}
_BUILTINS = {
    "set": set,
    "frozenset": frozenset,
    "list": list,
    "dict": dict,
    "tuple": tuple,
    "complex": complex,
    "bytearray": bytearray,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Finds what arrays and containers are made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module in ("builtins", "__builtin__") and name in _BUILTINS:
            return _BUILTINS[name]
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in _ARRAYS:
            return getattr(import_module("numpy._core.multiarray"), name)
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return import_module("numpy._core.numeric")._frombuffer
        raise pickle.UnpicklingError(f"it holds a {module}.{name}")


def read_pickle(path: Path | str) -> Any:
    """What a pickle holds, if that is numpy arrays, containers, text and numbers.

    Nothing in the file is executed: it cannot name any function or class beyond these. Pickles of
    Python 2 are read as well.

    Raises:
        DataError: The file is missing or damaged, or holds anything else.
    """
    try:
        with Path(path).open("rb") as file:
            # Only arrays and containers can be found: this is the safe way to read these files.
            return _ArrayUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is not read: {error}; only numpy arrays, lists, dicts, text and numbers are, "
            "because a pickle can run any program when it is opened"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} is damaged or no pickle: {error!r}") from error
