"""What is missing, for policies that see the observation itself: zeros, never NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


def zero_missing(observation: Any) -> Any:
    """A batch of observations in which values with NaN or infinity are zeros, as a whole.

    Args:
        observation: An array (envs, ...), or such by channel.

    Example:
        >>> zero_missing({"joints": np.array([[1.0, np.nan], [1.0, 2.0]])})
        {'joints': array([[0., 0.],
               [1., 2.]])}
    """
    if isinstance(observation, Mapping):
        return {name: zero_missing(values) for name, values in observation.items()}
    values = np.asarray(observation)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return observation
    there: NDArray[np.bool_] = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return np.where(there.reshape(-1, *[1] * (values.ndim - 1)), values, 0).astype(values.dtype)


class MissingAsZeros(VecEnvWrapper):
    """Hides NaN and infinity from a policy that has no encoder: zeros, as of a failed sensor.

    Args:
        venv: Any `VecEnv`.
    """

    def reset(self) -> VecEnvObs:
        """Starts an episode everywhere."""
        observations: VecEnvObs = zero_missing(self.venv.reset())
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """What the environments answer, last observations included."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            infos[i]["terminal_observation"] = _single(infos[i]["terminal_observation"])
        return zero_missing(observations), rewards, dones, infos


def _single(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {name: _single(values) for name, values in observation.items()}
    return zero_missing(np.asarray(observation)[None])[0]
