"""Name and settings of a method, from plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmrl.methods import METHODS, PREDICTOR
from mmrl.methods.method import MethodConfig
from mmrl.settings import ConfigError, typed

NO_METHOD = "none"


def read_method(values: Any) -> tuple[str, MethodConfig | None]:
    """Name and settings of a method, which has none where it is `none`.

    Raises:
        ConfigError: An unknown method or setting, or a value that it cannot have.
    """
    if not isinstance(values, Mapping) or "name" not in values:
        raise ConfigError(f"method must be a group of settings with a name, got {values!r}")
    name = values["name"]
    settings = {key: value for key, value in values.items() if key != "name"}
    if name == NO_METHOD and not settings:
        return NO_METHOD, None
    if not isinstance(name, str) or name not in METHODS or name == PREDICTOR:
        known = ", ".join([*sorted(set(METHODS) - {PREDICTOR}), NO_METHOD])
        raise ConfigError(f"method.name is {name!r}; known: {known}")
    return name, typed(METHODS[name].Config, settings, "method")
