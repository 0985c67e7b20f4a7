"""What an environment's infos say about its state, as far as that is a finite vector of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATE = "state"


def told_state(infos: Mapping[str, Any]) -> list[NDArray[np.float64] | None] | None:
    """The state of each environment; None where it told none, or something else than numbers.

    Args:
        infos: Infos of a vector environment: arrays, or one object for each, and perhaps `_state`,
            which says who told one.
    """
    values = infos.get(STATE)
    if not isinstance(values, np.ndarray):
        return None
    told = infos.get(f"_{STATE}", np.ones(len(values), np.bool_))
    return [_vector(value) if there else None for value, there in zip(values, told, strict=True)]


def join_states(
    states: Sequence[list[NDArray[np.float64] | None] | None], count: int
) -> NDArray[np.float64] | None:
    """One row for each sample, NaN where nothing was told; None where that is all samples.

    States of another length than the first are left out.

    Args:
        states: What `told_state` gave, by step.
        count: Number of environments.
    """
    rows = [row for step in states for row in (step or [None] * count)]
    first = next((row for row in rows if row is not None), None)
    if first is None:
        return None
    nothing = np.full_like(first, np.nan)
    fits = [row is not None and len(row) == len(first) for row in rows]
    return np.stack([row if fit else nothing for row, fit in zip(rows, fits, strict=True)])  # type: ignore[misc]


def _vector(value: Any) -> NDArray[np.float64] | None:
    if value is None or isinstance(value, str | bytes | Mapping):
        return None
    try:
        vector = np.array(value, np.float64)
    except (TypeError, ValueError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None
