"""`MujocoSensors`: the sensors of a MuJoCo model become channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from mmrl_envs.mujoco.simulation import check_simulated
from mmrl_envs.wrappers.channels import (
    Observation,
    channel_space,
    check_new,
    named_channels,
    named_values,
)
from mmrl_envs.wrappers.conform import conform


class MujocoSensors(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Adds sensors of the MuJoCo model, by name, as channels of float32.

    `MujocoSensors(env, {"imu": ["accelerometer", "gyro"], "touch": "finger_*"})`, for instance.
    Any sensor does: touch, force and torque, accelerometer, gyro, rangefinder (-1 where nothing is
    hit), joint and tendon sensors. MuJoCo computes sensors before it integrates: after a step the
    values are those at the beginning of its last simulation step, in the units of the model.

    Args:
        env: The environment. An observation that is no Dict becomes the channel `state_name`.
        channels: Per channel the name of a sensor or a list of names, whose values are joined.
            Names may be patterns, such as "robot0:TS_*": all that match, in the model's order.
        state_name: Name of the observation that is there already, if it is no Dict.

    Raises:
        DependencyNotInstalled: MuJoCo is missing.
        TypeError: The environment is not simulated by MuJoCo.
        ValueError: The model has no such sensor, or a name is taken or reserved.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        channels: Mapping[str, str | Sequence[str]],
        *,
        state_name: str = "state",
    ) -> None:
        RecordConstructorArgs.__init__(self, channels=channels, state_name=state_name)
        super().__init__(env)
        check_simulated(env, "MujocoSensors")
        spaces_by_name = named_channels(env.observation_space, "MujocoSensors", state_name)
        if not channels:
            raise ValueError(f"no channels: the model has the sensors {_sensors(env)}")
        check_new(channels, spaces_by_name, "MujocoSensors")
        self._state_name = state_name
        self._addresses = {
            name: _addresses(env, [sensors] if isinstance(sensors, str) else list(sensors))
            for name, sensors in channels.items()
        }
        for name, at in self._addresses.items():
            spaces_by_name[name] = spaces.Box(-np.inf, np.inf, at.shape, np.float32)
        self.observation_space = channel_space(spaces_by_name)

    def observation(self, observation: Any) -> Observation:
        """Return the observation with the present values of the sensors."""
        bare: Any = self.env.unwrapped
        values = named_values(conform(observation, self.env.observation_space), self._state_name)
        for name, at in self._addresses.items():
            values[name] = bare.data.sensordata[at].astype(np.float32)
        return dict(sorted(values.items()))


def _sensors(env: gymnasium.Env[Any, Any]) -> list[str]:
    bare: Any = env.unwrapped
    return [bare.model.sensor(index).name for index in range(bare.model.nsensor)]


def _addresses(env: gymnasium.Env[Any, Any], patterns: list[str]) -> Any:
    """Return where the values of the sensors are in `data.sensordata`."""
    bare: Any = env.unwrapped
    existing = _sensors(env)
    addresses: list[int] = []
    for pattern in patterns:
        chosen = [index for index, name in enumerate(existing) if fnmatchcase(name, pattern)]
        if not chosen:
            raise ValueError(f"no sensor {pattern!r}: the model has {existing}")
        for index in chosen:
            start = int(bare.model.sensor_adr[index])
            addresses += range(start, start + int(bare.model.sensor_dim[index]))
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"{patterns} names a sensor of {existing} twice in one channel")
    return np.array(addresses, dtype=np.intp)
