"""A world with two sensors of which everything is known, for the tests of the monitor.

A point moves in space: x' = .95 x + a push. All sensors show x with a little noise; the encoder
passes readings on as latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor

from mmrl.methods.method import Method, MethodConfig
from mmrl.modality import Batch, Modality
from mmrl_agents.monitor.dynamics import Recording
from mmrl_agents.monitor.monitor import MonitorConfig, SensorMonitor

LATENT = 3
PUSH = np.array([0.5, -0.3, 0.4])
ACTIONS = spaces.Box(-1.0, 1.0, (1,), np.float32)
QUICK = MonitorConfig(hidden=32, steps=400, samples=1, calibration=100, false_alarm_rate=0.02)


@dataclass(frozen=True)
class PlainConfig(MethodConfig):
    latent_dim: int = LATENT
    standardize: bool = False


class PlainEncoder(Method):
    """Mean of the readings of the sensors that are there."""

    name: ClassVar[str] = "plain"
    Config: ClassVar[type[MethodConfig]] = PlainConfig

    def __init__(self, channels: int = 2) -> None:
        names = ("left", "right", "top", "low", "far", "near")[:channels]
        super().__init__([Modality(name, (LATENT,), "vector") for name in names])
        self.scale_ = torch.nn.Parameter(torch.ones(1))

    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        stacked = torch.stack([inputs[name] for name in self.names], dim=1)
        seen = (stacked * available[..., None]).sum(1)
        return self.scale_ * seen / available.sum(1, keepdim=True).clamp_min(1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.encode(batch.values).square().mean()}


def record(envs: int, steps: int, seed: int, channels: int = 2, length: int = 50) -> Recording:
    """Fault-free episodes with random actions that last for some steps each."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(envs, LATENT))
    latents = np.empty((steps, envs, channels, LATENT))
    actions = np.empty((steps, envs, 1))
    first = np.zeros((steps, envs), np.bool_)
    action = rng.uniform(-1, 1, (envs, 1))
    for t in range(steps):
        if t % length == 0:
            state = rng.normal(size=(envs, LATENT))
            first[t] = True
        if t % 3 == 0:
            action = rng.uniform(-1, 1, (envs, 1))
        latents[t] = state[:, None] + 0.02 * rng.normal(size=(envs, channels, LATENT))
        actions[t] = action
        state = 0.95 * state + action * PUSH
    return Recording(latents, actions, first)


def fitted(channels: int = 2, seed: int = 0) -> SensorMonitor:
    torch.manual_seed(0)
    monitor = SensorMonitor(PlainEncoder(channels).eval(), ACTIONS, QUICK)
    monitor.fit(record(40, 150, 1, channels), record(40, 150, 2, channels), seed)
    return monitor


def spoil(recording: Recording, channel: int, kind: str, begin: int, end: int) -> Recording:
    """The same with one sensor that lies from one step to another."""
    latents = recording.latents.copy()
    span = slice(begin, end)
    healthy = recording.latents[:, :, channel]
    rng = np.random.default_rng(9)
    match kind:
        case "noise":
            latents[span, :, channel] += rng.normal(size=healthy[span].shape)
        case "freeze":
            latents[span, :, channel] = healthy[begin]
        case "delay":
            latents[span, :, channel] = healthy[begin - 5 : end - 5]
        case "bias":
            latents[span, :, channel] += 0.8
    return Recording(latents, recording.actions, recording.first)


class Point(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """The same world as an environment; the closer to 0, the better."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, length: int = 25) -> None:
        reading = spaces.Box(-10.0, 10.0, (LATENT,), np.float32)
        self.observation_space = spaces.Dict({"left": reading, "right": reading})  # type: ignore[assignment]
        self.action_space = ACTIONS
        self.length, self.age = length, 0
        self.state = np.zeros(LATENT)

    def observe(self) -> dict[str, np.ndarray]:
        noise = 0.02 * self.np_random.normal(size=(2, LATENT))
        left, right = (self.state + noise).astype(np.float32)
        return {"left": left, "right": right}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.age, self.state = 0, self.np_random.normal(size=LATENT)
        return self.observe(), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.age += 1
        self.state = 0.95 * self.state + float(action[0]) * PUSH
        return (
            self.observe(),
            -float(np.square(self.state).sum()),
            False,
            self.age >= self.length,
            {},
        )


def points(count: int) -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([Point] * count, autoreset_mode=AutoresetMode.SAME_STEP)
