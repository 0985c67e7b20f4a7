"""What a policy of Stable-Baselines3 chooses from, and what the environment is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


def policy_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """What a policy chooses from in place of an environment's action space.

    Stable-Baselines3 counts from zero, knows rows of choices only, and chooses from continuous
    numbers; `to_env` translates.

    Example:
        >>> policy_space(spaces.Discrete(3, start=1))
        Discrete(3)
        >>> policy_space(spaces.MultiBinary([2, 2]))
        MultiBinary(4)
    """
    match space:
        case spaces.Discrete():
            return space if space.start == 0 else spaces.Discrete(space.n)
        case spaces.MultiDiscrete():
            plain = space.nvec.ndim == 1 and not space.start.any()
            return space if plain else spaces.MultiDiscrete(space.nvec.ravel())
        case spaces.MultiBinary():
            return space if len(space.shape) == 1 else spaces.MultiBinary(int(np.prod(space.shape)))
        case spaces.Box() if np.dtype(space.dtype).kind in "ui":
            return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32))
    return space


def to_env(actions: NDArray[Any], space: spaces.Space[Any]) -> NDArray[Any]:
    """Actions of a policy as the environment takes them, each within its action space.

    Args:
        actions: Chosen from `policy_space(space)`, one row for each environment.
        space: Action space of one environment.

    Example:
        >>> to_env(np.array([0, 2]), spaces.Discrete(3, start=1))
        array([1, 3])
        >>> to_env(np.array([[0.6], [9.0]]), spaces.Box(0, 5, (1,), np.int64))
        array([[1],
               [5]])
    """
    shape, dtype = (len(actions), *(space.shape or ())), space.dtype
    match space:
        case spaces.Discrete() | spaces.MultiDiscrete():
            return np.asarray(actions.reshape(shape).astype(dtype) + space.start)
        case spaces.MultiBinary():
            return actions.reshape(shape).astype(dtype)
        case spaces.Box():
            assert dtype is not None
            whole = np.rint(actions) if dtype.kind in "ui" else actions
            # Bounds before the type: what is too large for it would wrap, or round out of them.
            within = np.clip(whole.reshape(shape), space.low, space.high).astype(dtype)
            return np.asarray(np.clip(within, space.low, space.high))
    return actions
