from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from mmrl_agents.paper.rules import TerminalTimeLimit, UnitActions, unit_action_space
from tests.agents.tiny import TwoSensors


def test_training_executes_the_scaled_action() -> None:
    env = TwoSensors()
    venv = UnitActions(DummyVecEnv([lambda: env]))
    assert venv.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    venv.reset()
    for action in (0.5, -1.0, 3.0):
        venv.step(np.array([[action]], np.float32))
    assert env.torques == [1.0, -2.0, 2.0]


def test_a_time_limit_looks_like_the_end() -> None:
    venv = TerminalTimeLimit(DummyVecEnv([lambda: TwoSensors(length=1)]))
    venv.reset()
    _, _, dones, infos = venv.step(np.zeros((1, 1), np.float32))
    assert dones[0]
    assert infos[0]["TimeLimit.truncated"] is False
    assert infos[0]["terminal_observation"]["joints"][0] == 1


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.Box(-1.0, 2.0, (1,), np.float32),
        spaces.Box(-np.inf, np.inf, (1,), np.float32),
        spaces.Box(-0.5, 0.5, (1,), np.float32),
    ],
)
def test_other_action_spaces_are_refused(space: spaces.Space[object]) -> None:
    with pytest.raises(ValueError, match=r"contains \[-1, 1\], got .*; use action_rule='scaled'"):
        unit_action_space(space)
