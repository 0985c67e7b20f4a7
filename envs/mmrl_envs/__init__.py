"""Multimodal environments for Gymnasium and wrappers that let their sensors fail.

Importing the package registers `mmrl/MultimodalPendulum-v0`. It needs Gymnasium, NumPy and OpenCV.
"""

import gymnasium

from mmrl_envs.sensor_dropout import SensorDropout
from mmrl_envs.vector_sensor_dropout import VectorSensorDropout

__all__ = ["SensorDropout", "VectorSensorDropout"]

gymnasium.register(
    id="mmrl/MultimodalPendulum-v0",
    entry_point="mmrl_envs.pendulum:MultimodalPendulumEnv",
    vector_entry_point="mmrl_envs.pendulum:MultimodalPendulumVectorEnv",
)
