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
from mmrl_envs.wrappers.conform import conform
from mmrl_envs.wrappers.stacked import Stacked, fill_gaps

AGENT, SENSOR = "agent", "sensor"


class StackFrames(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Stacks the last values of each channel, the oldest first; a reset repeats the first value.

    Images (uint8, three axes) are joined along their channels, first or last (the smaller outer
    axis): two of shape (3, h, w) become (6, h, w), two of (h, w, 3) become (h, w, 6). Values of any
    other channel get a new first axis: (n,) becomes (frames, n).

    Sensors must fail after the stacking (wrap the result in `SensorDropout`): a failed sensor then
    hides its whole stack. What its frames are afterwards is up to `kept_by`. A frame with NaN or
    infinity did not arrive, whoever keeps it: later, the one before it stands in its place.

    Args:
        env: The environment, with a Dict observation.
        frames: How many, at least 1: for every channel, or by channel; those not named, and those
            with 1, stay as they are.
        kept_by: "agent": frames are stacked where they arrive, so those that were taken during an
            outage never do; in their place is the last one before it, if the stack reaches back so
            far, else the first one after it. "sensor": the sensor itself remembers its frames and
            delivers them all, also those of an outage, when it is over.

    Raises:
        TypeError: The observation is no Dict, or a channel to be stacked is no Box.
        ValueError: A channel does not exist, a number is below 1, nobody else can keep frames, or
            sensors have failed already.

    Example:
        >>> from mmrl_envs.wrappers.split import SplitObservation
        >>> env = SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]})
        >>> env = StackFrames(env, {"pole": 3})
        >>> observation, info = env.reset(seed=0)
        >>> {name: values.shape for name, values in observation.items()}
        {'cart': (2,), 'pole': (3, 2)}
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        frames: int | Mapping[str, int] = 2,
        *,
        kept_by: str = AGENT,
    ) -> None:
        RecordConstructorArgs.__init__(self, frames=frames, kept_by=kept_by)
        super().__init__(env)
        if kept_by not in (AGENT, SENSOR):
            raise ValueError(f"kept_by must be {AGENT!r} or {SENSOR!r}, got {kept_by!r}")
        channels = dict_channels(env.observation_space, "StackFrames")
        counts = dict(frames) if isinstance(frames, Mapping) else dict.fromkeys(channels, frames)
        check_known(counts, channels, "StackFrames")
        for name, count in counts.items():
            check_integer(f"frames of {name!r}", count, 1)
        counts = {name: count for name, count in counts.items() if count > 1}
        self._counts = counts
        self._axes: dict[str, int | None] = {}
        for name, count in counts.items():
            box = _check_box(name, channels[name])
            self._axes[name] = axis = _joined_axis(box)
            low, high = (self._stack(name, [bound] * count) for bound in (box.low, box.high))
            dtype: Any = box.dtype
            channels[name] = (
                spaces.Box(low, high, dtype=dtype.type)
                if kept_by == SENSOR
                else Stacked(low, high, dtype.type, frames=count, axis=axis or 0)
            )
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

    def observation(self, observation: Any) -> Observation:
        """Return the observation with the stacks of the last values."""
        stacked: Observation = conform(observation, self.env.observation_space)
        for name, frames in self._frames.items():
            value = stacked[name]
            frames.extend([value] * (1 if frames else self._counts[name]))
            stacked[name] = self._stack(name, _arrived(frames))
        return stacked

    def _stack(self, name: str, frames: Any) -> NDArray[Any]:
        axis = self._axes[name]
        return np.stack(frames) if axis is None else np.concatenate(frames, axis)


def _arrived(frames: deque[NDArray[Any]]) -> Any:
    """Return the frames of a stack without those that did not arrive."""
    newest = frames[-1]
    if newest.dtype.kind != "f":
        return frames
    finite = [bool(np.isfinite(frame).all()) for frame in frames]
    if all(finite):
        return frames
    if newest.size and not np.isfinite(newest).any():
        return [newest] * len(frames)
    return fill_gaps(np.stack(frames)[None], np.array([finite]))[0]


def _joined_axis(box: spaces.Box) -> int | None:
    """Return the axis along which images are joined; None for what is no image."""
    if box.dtype != np.uint8 or len(box.shape) != 3:
        return None
    return -1 if box.shape[2] < box.shape[0] else 0


def _check_box(name: str, space: spaces.Space[Any]) -> spaces.Box:
    if not isinstance(space, spaces.Box):
        raise TypeError(
            f"StackFrames stacks Box channels, got {name!r}: {space}; say frames by channel to "
            "leave it as it is, or put {name: one_hot} before it"
        )
    return space
