"""The multimodal pendulum: an image and sound of it."""

from mmrl_envs.pendulum.env import MultimodalPendulumEnv, MultimodalPendulumVectorEnv

__all__ = ["MultimodalPendulumEnv", "MultimodalPendulumVectorEnv"]
