"""HyperHot: a game that is seen and heard."""

from mmrl_envs.hyperhot.env import HyperHotEnv, HyperHotVectorEnv

__all__ = ["HyperHotEnv", "HyperHotVectorEnv"]
