"""Checks of arguments which say what was got and what is expected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def check_number(name: str, value: object, *, above: float = -math.inf) -> None:
    """Raise TypeError unless value is a number, ValueError unless finite and above the bound."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not (math.isfinite(value) and value > above):
        bound = f" and greater than {above:g}" if math.isfinite(above) else ""
        raise ValueError(f"{name} must be finite{bound}, got {value}")


def check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    """Raise TypeError unless value is an integer, ValueError unless within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {span}, got {value}")


def check_share(name: str, value: object) -> None:
    """Raise TypeError unless value is a number, ValueError unless within [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be within [0, 1], got {value}")


def is_list(value: object) -> bool:
    """Whether it is a sequence of items: a list or a tuple, but no string."""
    return isinstance(value, Sequence) and not isinstance(value, str)
