"""What the GMC paper's code does with actions and time limits, as wrappers for training."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class UnitActions(VecEnvWrapper):
    """Trains on actions in [-1, 1], which are scaled to the full range before they are executed.

    The paper's rule: training executes clip(2 a + noise), but evaluation executes the same a,
    within [-1, 1], as the torque itself. A policy that is trained behind this wrapper and
    evaluated without it does that.

    Args:
        venv: With a bounded, symmetric Box of actions that contains [-1, 1].

    Raises:
        ValueError: Another action space.
    """

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, action_space=unit_action_space(venv.action_space))
        assert isinstance(venv.action_space, spaces.Box)
        self._high = venv.action_space.high

    def reset(self) -> VecEnvObs:
        """Starts an episode everywhere."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Scales the actions."""
        self.venv.step_async((np.clip(actions, -1.0, 1.0) * self._high).astype(self._high.dtype))

    def step_wait(self) -> VecEnvStepReturn:
        """Passes on what the environments answer."""
        return self.venv.step_wait()


class TerminalTimeLimit(VecEnvWrapper):
    """Lets the time limit look like a true end of the task, as the paper's code does.

    It is a fault: nothing is left to gain after the last step, which the observation does not
    announce. Here to make numbers comparable.
    """

    def reset(self) -> VecEnvObs:
        """Starts an episode everywhere."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Takes the sign of a time limit out of the infos."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            info["TimeLimit.truncated"] = False
        return observations, rewards, dones, infos


def unit_action_space(space: spaces.Space[Any]) -> spaces.Box:
    """The Box [-1, 1] in the shape of `space`.

    Raises:
        ValueError: `space` is no symmetric, bounded Box that contains it.
    """
    if (
        not isinstance(space, spaces.Box)
        or not np.array_equal(space.low, -space.high)
        or not np.all(np.isfinite(space.high))
        or not np.all(space.high >= 1.0)
    ):
        raise ValueError(
            "action_rule='paper' needs a symmetric, bounded Box of actions that contains [-1, 1], "
            f"got {space}; use action_rule='scaled'"
        )
    return spaces.Box(-1.0, 1.0, space.shape, np.float32)
