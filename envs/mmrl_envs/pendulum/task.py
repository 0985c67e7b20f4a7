"""The multimodal pendulum as a task: its settings, spaces, observations and steps, in batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.pendulum import model
from mmrl_envs.pendulum.model import Floats, Real
from mmrl_envs.validation import check_integer, check_number

Observation = dict[str, NDArray[Any]]

RECEIVERS = ((-2.2, 2.2), (-2.2, -2.2), (2.2, 0.0))


@dataclass(frozen=True)
class PendulumSettings:
    """What a user may vary; the environments take the same arguments.

    Attributes:
        receivers: Microphones as (height, left) in rod lengths from the pivot, at least one, all
            of them outside of the circle that the tip describes.
        sound_speed: Speed of sound in rod lengths per second, above the tip's greatest speed, 8.
        max_torque: Greatest torque, positive; larger actions are clipped.
        stack: Number of past observations in one, at least 1, the oldest first.
        image_size: Height and width of the image in pixels, 8 to 512; the view stays the same.
        dynamics: "paper" integrates the angle with the unclipped speed, as GMC's simulator does;
            "gymnasium" clips the speed first, as Pendulum-v1 does.
        episode_length: Steps until an episode is truncated.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range.
    """

    receivers: Sequence[Sequence[float]] = RECEIVERS
    sound_speed: float = 20.0
    max_torque: float = 2.0
    stack: int = 2
    image_size: int = 60
    dynamics: str = "paper"
    episode_length: int = 300

    def __post_init__(self) -> None:
        check_number("sound_speed", self.sound_speed, above=model.MAX_SPEED)
        check_number("max_torque", self.max_torque, above=0.0)
        check_integer("stack", self.stack, 1)
        check_integer("image_size", self.image_size, 8, 512)
        check_integer("episode_length", self.episode_length, 1)
        if self.dynamics not in ("paper", "gymnasium"):
            raise ValueError(f"dynamics must be 'paper' or 'gymnasium', got {self.dynamics!r}")
        positions = np.asarray(self.receivers, dtype=np.float64)
        if positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
            raise ValueError(
                "receivers must be one or more (height, left) pairs, "
                f"got an array of shape {positions.shape}"
            )
        if not np.all(np.isfinite(positions)) or np.any(np.hypot(*positions.T) <= model.LENGTH):
            raise ValueError(
                "receivers must be finite and farther than 1 from the pivot, since the tip moves "
                f"at distance 1, got {positions.tolist()}"
            )


class PendulumTask:
    """The task on batches: what the single and the vector environment share."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        known = [field.name for field in fields(PendulumSettings)]
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            raise TypeError(f"unknown arguments {unknown}, known are {known}")
        self.settings = settings = PendulumSettings(**arguments)
        self.receivers = np.array(settings.receivers, dtype=np.float64)
        low, high = model.sound_bounds(self.receivers, settings.sound_speed)
        self._sound_low, self._sound_range = low, high - low
        self._table = model.frame_table(settings.image_size)
        size, stack = settings.image_size, settings.stack
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (stack, size, size), np.uint8),
                "sound": spaces.Box(0.0, 1.0, (stack, len(self.receivers), 2), np.float32),
            }
        )
        torque = settings.max_torque
        self.action_space = spaces.Box(-torque, torque, (1,), np.float32)

    def observe(self, history: Floats) -> Observation:
        """Return new arrays for histories of (theta, theta_dot), shape (..., stack, 2)."""
        levels = self._levels(self._hear(history))
        return {"image": self._table.draw(history[..., 0]), "sound": levels.astype(np.float32)}

    def draw(self, history: Floats) -> NDArray[np.uint8]:
        """Return an RGB picture of the newest state of one history, shape (stack, 2)."""
        from mmrl_envs.pendulum.view import draw_view  # OpenCV loads only where frames are drawn

        heard = self._hear(history[-1])
        image = self._table.draw(history[-1:, 0])[0]
        return draw_view(image, heard, self._levels(heard), self.receivers)

    def step(self, history: Floats, torque: Real) -> tuple[Floats, Real]:
        """Return the histories after one step and the rewards, for torques of shape (...)."""
        limit = self.settings.max_torque
        theta, theta_dot, reward = model.move(
            history[..., -1, 0],
            history[..., -1, 1],
            np.minimum(np.maximum(torque, -limit), limit),
            clip_first=self.settings.dynamics == "gymnasium",
        )
        new = np.empty_like(history)
        new[..., :-1, :] = history[..., 1:, :]
        new[..., -1, 0], new[..., -1, 1] = theta, theta_dot
        return new, reward

    def start(self, unit: Floats) -> Floats:
        """Return the histories of starts which swung for one step without torque.

        Args:
            unit: Independent uniform random numbers within [0, 1), shape (..., 2).
        """
        state = (2 * unit - 1) * np.array([math.pi, 1.0])
        moved, _ = self.step(state[..., None, :], np.zeros(unit.shape[:-1]))
        return self.rest(moved[..., 0, :])

    def rest(self, state: Floats) -> Floats:
        """Return histories which repeat the states, shape (..., 2)."""
        return np.repeat(state[..., None, :], self.settings.stack, axis=-2)

    def _hear(self, state: Floats) -> Floats:
        return model.hear(state[..., 0], state[..., 1], self.receivers, self.settings.sound_speed)

    def _levels(self, heard: Floats) -> Floats:
        """Scale by the analytic bounds; the clip removes only rounding."""
        levels = (heard - self._sound_low) / self._sound_range
        return np.minimum(np.maximum(levels, 0.0), 1.0)
