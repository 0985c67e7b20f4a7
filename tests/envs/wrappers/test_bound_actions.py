from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.bound_actions import BoundActions


class Free(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(0, 1, (1,))
    action_space: Any = spaces.Box(
        np.array([-np.inf, 0], np.float32), np.array([np.inf, 3], np.float32)
    )


def test_bounds_narrow_what_there_is() -> None:
    space: Any = BoundActions(Free(), -1, [2, 9]).action_space
    assert space == spaces.Box(np.array([-1, 0]), np.array([2, 3]), dtype=np.float32)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (1, 1, "low must be below high within Box"),
        (-np.inf, 1, "low must be below high"),
        (0, 0.5, None),
        ([0, 0, 0], 1, r"lists of the shape \(2,\), got \[0, 0, 0\] and 1"),
    ],
)
def test_bounds_must_leave_something(low: Any, high: Any, message: str | None) -> None:
    if message is None:
        BoundActions(Free(), low, high)
        return
    with pytest.raises(ValueError, match=message):
        BoundActions(Free(), low, high)


def test_only_a_box_is_bounded() -> None:
    with pytest.raises(TypeError, match=r"BoundActions bounds a Box of actions, got Discrete\(2\)"):
        BoundActions(gymnasium.make("CartPole-v1"), 0, 1)
