"""Gymnasium spaces as plain data, so that a policy can be built again without unpickling any."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

MOST = 2**27
"""Bytes of one value of a sensor; a space takes several times that."""


def to_plain(space: spaces.Space[Any]) -> dict[str, Any]:
    """Describes a space in dicts, lists, numbers and strings.

    Raises:
        TypeError: A space that policies cannot have.

    Example:
        >>> to_plain(spaces.Box(-1.0, 1.0, (2,), np.float32))
        {'type': 'Box', 'shape': [2], 'dtype': 'float32', 'low': -1.0, 'high': 1.0}
    """
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "channels": [[k, to_plain(v)] for k, v in space.spaces.items()]}
    if isinstance(space, spaces.Box):
        return {
            "type": "Box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": _bound(space.low),
            "high": _bound(space.high),
        }
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
        }
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if np.isscalar(space.n) else list(space.shape)}
    raise TypeError(
        f"cannot describe a {type(space).__name__} space; known: Box, Dict, Discrete, "
        "MultiDiscrete, MultiBinary"
    )


def from_plain(description: Mapping[str, Any]) -> spaces.Space[Any]:
    """Builds the space that `to_plain` described.

    Raises:
        ValueError: It is no description of a space.
    """
    try:
        return _build(description)
    except Exception as error:  # spaces raise what NumPy does
        raise ValueError(f"not a description of a space: {str(description)[:80]}") from error


def _build(plain: Mapping[str, Any]) -> spaces.Space[Any]:
    match plain["type"]:
        case "Dict":
            return spaces.Dict([(name, _build(channel)) for name, channel in plain["channels"]])
        case "Box":
            shape, dtype = tuple(map(int, plain["shape"])), np.dtype(str(plain["dtype"])).type
            if min(shape, default=1) < 0 or prod(shape) * np.dtype(dtype).itemsize > MOST:
                raise ValueError(f"a sensor of shape {shape}")
            low, high = (
                np.broadcast_to(np.asarray(plain[side], dtype), shape) for side in ("low", "high")
            )
            return spaces.Box(low.copy(), high.copy(), shape, dtype)
        case "Discrete":
            return spaces.Discrete(plain["n"], start=plain["start"])
        case "MultiDiscrete":
            return spaces.MultiDiscrete(plain["nvec"], start=plain.get("start"))
        case "MultiBinary":
            return spaces.MultiBinary(plain["n"])
    raise KeyError(plain["type"])


def _bound(values: NDArray[Any]) -> Any:
    """One number where all are equal; strings where JSON has no number (inf)."""
    flat = values.ravel()
    plain = flat[0].item() if np.all(flat == flat[0]) else values.tolist()
    return plain if np.all(np.isfinite(values)) else _strings(plain)


def _strings(values: Any) -> Any:
    return [_strings(value) for value in values] if isinstance(values, list) else str(values)
