"""Libraries of the optional extras, imported on use."""

from __future__ import annotations

import importlib
from types import ModuleType


def optional(module: str, extra: str) -> ModuleType:
    """Imports a library of an optional extra.

    Args:
        module: Import name.
        extra: The extra of this package that brings it.

    Raises:
        ModuleNotFoundError: It is not installed; the message says how it is.

    Example:
        >>> optional("json", "data").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"this needs {module.partition('.')[0]}, which is not installed: "
            f"pip install 'mmrl[{extra}]'",
            name=error.name,
        ) from error
