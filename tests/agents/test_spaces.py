from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium import spaces

from mmrl_agents.spaces import from_plain, to_plain

SPACES: list[spaces.Space[object]] = [
    spaces.Box(-1.0, 1.0, (2,), np.float32),
    spaces.Box(-np.inf, np.inf, (3, 2), np.float64),
    spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, 2.0]), dtype=np.float64),
    spaces.Box(0, 255, (2, 60, 60), np.uint8),
    spaces.Discrete(4),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([2, 5]),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    spaces.Dict([("b", spaces.MultiBinary(2)), ("a", spaces.Box(0, 1, (1,), np.float32))]),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_comes_back_from_json_as_it_was(space: spaces.Space[object]) -> None:
    again = from_plain(json.loads(json.dumps(to_plain(space), allow_nan=False)))
    assert again == space
    if isinstance(space, spaces.Dict) and isinstance(again, spaces.Dict):
        assert list(again.spaces) == list(space.spaces)


def test_other_spaces_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot describe a Text space; known: Box, Dict"):
        to_plain(spaces.Text(3))


@pytest.mark.parametrize("plain", [{}, {"type": "Graph"}, {"type": "Box", "shape": [1]}])
def test_other_descriptions_are_refused(plain: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a description of a space"):
        from_plain(plain)
