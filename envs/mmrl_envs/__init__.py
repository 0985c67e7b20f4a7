"""Multimodal environments for Gymnasium and wrappers that let their sensors fail.

Importing the package registers `mmrl/MultimodalPendulum-v0`, `mmrl/HyperHot-v0` and
`mmrl/DigitDial-v0`. It needs Gymnasium, NumPy and OpenCV.
"""

import gymnasium

from mmrl_envs.faults.sensor_dropout import SensorDropout
from mmrl_envs.faults.vector_sensor_dropout import VectorSensorDropout
from mmrl_envs.mujoco.sensors import MujocoSensors
from mmrl_envs.wrappers.bound_actions import BoundActions
from mmrl_envs.wrappers.camera import CameraObservation
from mmrl_envs.wrappers.conform import Conform
from mmrl_envs.wrappers.flatten import FlattenDict
from mmrl_envs.wrappers.normalize import NormalizeChannels, VectorNormalizeChannels
from mmrl_envs.wrappers.one_hot import OneHotChannels
from mmrl_envs.wrappers.rename import RenameChannels
from mmrl_envs.wrappers.select import DropChannels, SelectChannels
from mmrl_envs.wrappers.split import SplitObservation
from mmrl_envs.wrappers.stack import StackFrames
from mmrl_envs.wrappers.stacked import DeclareStacked

__all__ = [
    "BoundActions",
    "CameraObservation",
    "Conform",
    "DeclareStacked",
    "DropChannels",
    "FlattenDict",
    "MujocoSensors",
    "NormalizeChannels",
    "OneHotChannels",
    "RenameChannels",
    "SelectChannels",
    "SensorDropout",
    "SplitObservation",
    "StackFrames",
    "VectorNormalizeChannels",
    "VectorSensorDropout",
]

gymnasium.register(
    id="mmrl/MultimodalPendulum-v0",
    entry_point="mmrl_envs.pendulum:MultimodalPendulumEnv",
    vector_entry_point="mmrl_envs.pendulum:MultimodalPendulumVectorEnv",
)
gymnasium.register(
    id="mmrl/HyperHot-v0",
    entry_point="mmrl_envs.hyperhot:HyperHotEnv",
    vector_entry_point="mmrl_envs.hyperhot:HyperHotVectorEnv",
)
gymnasium.register(
    id="mmrl/DigitDial-v0",
    entry_point="mmrl_envs.digit_dial:DigitDialEnv",
    vector_entry_point="mmrl_envs.digit_dial:DigitDialVectorEnv",
)
