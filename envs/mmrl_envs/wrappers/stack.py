"""`StackFrames`: the last values of each channel, not only the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from mmrl_envs.validation import check_integer
from mmrl_envs.wrappers.channels import Observation, channel_space, check_known, dict_channels


class StackFrames(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Stacks the last values of each channel, the oldest first; a reset repeats the first value.

    Images (uint8, channels first) are joined along their planes: two of shape (3, h, w) become
    (6, h, w). Values of any other channel get a new first axis: (n,) becomes (frames, n).

    Sensors must fail after the stacking (wrap the result in `SensorDropout`): a failed sensor then
    hides its whole stack.

    Args:
        env: The environment, with a Dict observation.
        frames: How many, at least 1: for every channel, or by channel; those not named, and those
            with 1, stay as they are.

    Raises:
        TypeError: The observation is no Dict, or a channel to be stacked is no Box.
        ValueError: A channel does not exist, a number is below 1, or sensors have failed already.

    Example:
        >>> from mmrl_envs.wrappers.split import SplitObservation
        >>> env = SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]})
        >>> env = StackFrames(env, {"pole": 3})
        >>> observation, info = env.reset(seed=0)
        >>> {name: values.shape for name, values in observation.items()}
        {'cart': (2,), 'pole': (3, 2)}
    """

    def __init__(self, env: gymnasium.Env[Any, Any], frames: int | Mapping[str, int] = 2) -> None:
        RecordConstructorArgs.__init__(self, frames=frames)
        super().__init__(env)
        channels = dict_channels(env.observation_space, "StackFrames")
        counts = dict(frames) if isinstance(frames, Mapping) else dict.fromkeys(channels, frames)
        check_known(counts, channels, "StackFrames")
        for name, count in counts.items():
            check_integer(f"frames of {name!r}", count, 1)
        counts = {name: count for name, count in counts.items() if count > 1}
        self._counts = counts
        self._joined: dict[str, bool] = {}
        for name, count in counts.items():
            box = _check_box(name, channels[name])
            self._joined[name] = box.dtype == np.uint8 and len(box.shape) == 3
            low, high = (self._stack(name, [bound] * count) for bound in (box.low, box.high))
            channels[name] = spaces.Box(low, high, dtype=box.dtype.type)
        self.observation_space = channel_space(channels)
        self._frames: dict[str, deque[NDArray[Any]]] = {
            name: deque(maxlen=count) for name, count in counts.items()
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode with the first value of each channel repeated."""
        for frames in self._frames.values():
            frames.clear()
        return super().reset(seed=seed, options=options)

    def observation(self, observation: Observation) -> Observation:
        """Return the observation with the stacks of the last values."""
        stacked = dict(observation)
        for name, frames in self._frames.items():
            value = np.array(observation[name])
            frames.extend([value] * (1 if frames else self._counts[name]))
            stacked[name] = self._stack(name, frames)
        return stacked

    def _stack(self, name: str, frames: Any) -> NDArray[Any]:
        return np.concatenate(frames) if self._joined[name] else np.stack(frames)


def _check_box(name: str, space: spaces.Space[Any]) -> spaces.Box:
    if not isinstance(space, spaces.Box):
        raise TypeError(
            f"StackFrames stacks Box channels, got {name!r}: {space}; "
            "say frames by channel to leave it as it is"
        )
    return space
