"""`BoundActions`: an action space without bounds gets some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

Bound = int | float | Sequence[int | float]


class BoundActions(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Narrows a Box of actions, which algorithms need to be bounded; actions pass as they are.

    Args:
        env: The environment.
        low: The least action, a number or one for each entry; where the environment's own bound is
            higher, that holds.
        high: The greatest, likewise.

    Raises:
        TypeError: The actions are no Box.
        ValueError: The bounds are not finite, do not fit the shape, or leave nothing.

    Example:
        >>> env = BoundActions(gymnasium.make("Pendulum-v1"), low=-1, high=5)
        >>> env.action_space
        Box(-1.0, 2.0, (1,), float32)
    """

    def __init__(self, env: gymnasium.Env[Any, Any], low: Bound, high: Bound) -> None:
        RecordConstructorArgs.__init__(self, low=low, high=high)
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, spaces.Box):
            raise TypeError(f"BoundActions bounds a Box of actions, got {space}")
        try:
            least, most = (
                np.broadcast_to(np.asarray(bound, np.float64), space.shape) for bound in (low, high)
            )
        except ValueError as error:
            raise ValueError(
                f"BoundActions: low and high must be numbers, or lists of the shape {space.shape}, "
                f"got {low} and {high}"
            ) from error
        least, most = np.maximum(least, space.low), np.minimum(most, space.high)
        if not (np.isfinite(least).all() and np.isfinite(most).all() and (least < most).all()):
            raise ValueError(
                f"BoundActions: low must be below high within {space}, got {low} and {high}"
            )
        dtype: Any = space.dtype
        self.action_space = spaces.Box(least.astype(dtype), most.astype(dtype), dtype=dtype.type)
