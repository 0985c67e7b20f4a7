"""Settings: plain data, as a file has them, read into frozen dataclasses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from mmrl.renamed import RENAMED_VALUES, new_name

T = TypeVar("T")

_ENDLESS = re.compile(r"(\S{100})\S{100,}")

SHOWN = 80
"""Characters of a wrong value that are shown."""


class ConfigError(ValueError):
    """A setting that does not exist, or a value that it cannot have.

    Args:
        message: What is wrong; endless words, and where in its C++ torch raised, are left out.
    """

    def __init__(self, message: str) -> None:
        short = _ENDLESS.sub(r"\1…", message.partition("\nException raised from ")[0])
        super().__init__(short)


def typed(schema: type[T], values: Any, where: str) -> T:
    """Makes a frozen dataclass of plain data.

    Args:
        schema: The dataclass.
        values: A mapping; None means all defaults.
        where: Dotted key of the mapping, for messages.

    Raises:
        ConfigError: An unknown setting (the known ones are named), a value of the wrong type or out
            of range, or a setting that is missing.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Collect:
        ...     samples: int = 9
        >>> typed(Collect, {"samples": "lots"}, "collect")
        Traceback (most recent call last):
        mmrl.settings.ConfigError: collect.samples must be a whole number, got 'lots'
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a group of settings, got {_shown(values)}")
    known = {f.name: f for f in fields(schema)}  # type: ignore[arg-type]
    if unknown := [str(key) for key in values if key not in known]:
        raise ConfigError(unknown_setting(where, unknown, list(known)))
    hints = get_type_hints(schema)
    made = {
        key: _value(hints[key], value, f"{where}.{key}" if where else key)
        for key, value in values.items()
    }
    if missing := [key for key in known if _is_required(known[key]) and key not in made]:
        raise ConfigError(f"{where} needs {', '.join(missing)}")
    try:
        return schema(**made)
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """A plain value as what the annotation of its setting says."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        hint = next(a for a in arguments if a is not NoneType)
        return _value(hint, value, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return typed(hint, value, where)
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _value(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin in (list, tuple) and isinstance(value, list | tuple):
        return origin(_value(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = hint if origin is None else origin
    if isinstance(value, plain) and not (isinstance(value, bool) and plain is not bool):
        if now := RENAMED_VALUES.get(f"{where}={value}"):
            raise ConfigError(f"{where}={value} is called {now} now")
        return value
    raise ConfigError(f"{where} must be {_NAMES.get(plain, plain)}, got {_shown(value)}")


_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a group of settings",
}


def _shown(value: Any) -> str:
    """A value as messages have it: the beginning, where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


REQUIRED = "???"
"""What Hydra takes for a value that has to be given."""


def plain_defaults(schema: type) -> dict[str, Any]:
    """Defaults of a dataclass as plain data, as files have it; `???` where there is none.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Data:
        ...     name: str
        ...     rates: tuple[float, ...] = (0.5,)
        >>> plain_defaults(Data)
        {'name': '???', 'rates': [0.5]}
    """
    return {f.name: plain(_default(f)) for f in fields(schema)}


def plain(value: Any) -> Any:
    """Settings as plain data: dataclasses as dicts, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _default(setting: Field[Any]) -> Any:
    if setting.default is not MISSING:
        return setting.default
    return REQUIRED if setting.default_factory is MISSING else setting.default_factory()


def _is_required(setting: Field[Any]) -> bool:
    return setting.default is MISSING and setting.default_factory is MISSING


def unknown_setting(where: str, unknown: list[str], known: list[str]) -> str:
    """The message about settings that do not exist, or have another name now."""
    prefix = f"{where}." if where else ""
    for key in unknown:
        if name := new_name(key, known):
            return f"{prefix}{key} is called {prefix}{name} now"
    names = ", ".join(f"{prefix}{key}" for key in unknown)
    place = f" in {where}" if where else ""
    return f"unknown setting {names}; known{place}: {', '.join(known) or 'none'}"
