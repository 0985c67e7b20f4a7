"""Exploration noise whose size follows the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

NOISES = ("none", "normal", "ornstein_uhlenbeck")


@dataclass(frozen=True)
class ActionNoiseConfig:
    """Noise that is added to actions while training, in units of actions scaled to [-1, 1].

    Args:
        name: `none`, `normal` (independent steps) or `ornstein_uhlenbeck` (correlated in time).
        sigma: Standard deviation of the noise, or of its increments.
        theta: Pull towards zero per step (Ornstein-Uhlenbeck).
        final_sigma: What `sigma` falls to; None: it stays.
        decay_timesteps: Environment steps over which it falls, linearly; counted after the random
            actions at the start.

    Raises:
        ValueError: An unknown name or a value out of range.
    """

    name: str = "none"
    sigma: float = 0.2
    theta: float = 0.15
    final_sigma: float | None = None
    decay_timesteps: int = 100_000

    def __post_init__(self) -> None:
        if self.name not in NOISES:
            raise ValueError(f"action_noise.name is {self.name!r}; known: {', '.join(NOISES)}")
        if self.sigma < 0 or (self.final_sigma or 0.0) < 0:
            raise ValueError(
                "action_noise.sigma and final_sigma must not be negative, got "
                f"{self.sigma} and {self.final_sigma}"
            )
        if not 0 <= self.theta <= 1:
            raise ValueError(f"action_noise.theta must lie in [0, 1], got {self.theta}")
        if self.decay_timesteps < 1:
            raise ValueError(f"decay_timesteps must be at least 1, got {self.decay_timesteps}")


class ScheduledNoise(VectorizedActionNoise):
    """Normal or Ornstein-Uhlenbeck noise for several environments, from a stream of its own.

    The process is x <- (1 - theta) x + sigma e, e ~ N(0, 1), restarted at zero with each episode;
    theta = 1 makes it independent noise. Nothing is added during the first `start` steps:
    Stable-Baselines3 would add it to its uniform warm-up actions as well and clip the sum.

    Args:
        config: What it looks like.
        action_dim: Size of an action.
        n_envs: Number of environments.
        start: Environment steps without noise.
        seed: Seed of the noise's random stream.
    """

    def __init__(
        self, config: ActionNoiseConfig, action_dim: int, n_envs: int, *, start: int, seed: int
    ) -> None:
        # The base class copies a noise per environment; it is the base class because only then
        # does Stable-Baselines3 leave the noise as it is, one process for all environments.
        super().__init__(NormalActionNoise(np.zeros(action_dim), np.zeros(action_dim)), n_envs)
        self.config = config
        self.start = start
        self.timesteps = 0
        self._theta = config.theta if config.name == "ornstein_uhlenbeck" else 1.0
        self._generator = np.random.default_rng(np.random.SeedSequence([seed, 0x0153]))
        self._state = np.zeros((n_envs, action_dim))

    @property
    def sigma(self) -> float:
        """Standard deviation at the current step."""
        if self.timesteps < self.start:
            return 0.0
        if self.config.final_sigma is None:
            return self.config.sigma
        progress = min(1.0, (self.timesteps - self.start) / self.config.decay_timesteps)
        return self.config.sigma + progress * (self.config.final_sigma - self.config.sigma)

    def __call__(self) -> NDArray[np.float32]:
        """Noise for one step of all environments, (n_envs, action_dim)."""
        kicks = self._generator.standard_normal(self._state.shape)
        self._state = (1.0 - self._theta) * self._state + self.sigma * kicks
        self.timesteps += self.n_envs
        return self._state.astype(np.float32)

    def state(self) -> dict[str, Any]:
        """Where its schedule and stream stand, in plain data; processes restart with episodes."""
        return {"timesteps": self.timesteps, "stream": self._generator.bit_generator.state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from what `state` returned."""
        self.timesteps = state["timesteps"]
        self._generator.bit_generator.state = state["stream"]

    def reset(self, indices: Iterable[int] | None = None) -> None:
        """Restarts the process of some environments, or of all."""
        self._state[slice(None) if indices is None else list(indices)] = 0.0
