"""Channels that hold several values in time, and which of those have arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from mmrl_envs.validation import check_integer
from mmrl_envs.wrappers.channels import channel_space, check_known, dict_channels

Array = NDArray[Any]
Bools = NDArray[np.bool_]


class Stacked(spaces.Box):
    """A Box whose values are the last frames of a sensor, the oldest first, along one axis.

    Whoever lets sensors fail reads off it that frames fail one by one, when they are taken.

    Args:
        low: Bounds, in the shape of the stack.
        high: Bounds, in the shape of the stack.
        dtype: Type of the values.
        frames: How many; the length of the axis is a multiple.
        axis: 0 or -1.
    """

    def __init__(self, low: Array, high: Array, dtype: Any, *, frames: int, axis: int = 0) -> None:
        super().__init__(low, high, dtype=dtype)
        self.frames, self.axis = frames, axis

    @property
    def frame(self) -> spaces.Box:
        """The space of one frame."""
        low, high = (self.split(bound[None])[0, -1] for bound in (self.low, self.high))
        assert self.dtype is not None
        return spaces.Box(low, high, dtype=self.dtype.type)

    def split(self, values: Array) -> Array:
        """Return stacks (m, *shape) as frames (m, frames, *shape of a frame)."""
        m, *shape = values.shape
        if self.axis == 0:
            return values.reshape(m, self.frames, shape[0] // self.frames, *shape[1:])
        parts = values.reshape(m, *shape[:-1], self.frames, shape[-1] // self.frames)
        return np.moveaxis(parts, -2, 1)

    def join(self, frames: Array) -> Array:
        """Return frames as `split` made them as stacks."""
        moved = frames if self.axis == 0 else np.moveaxis(frames, 1, -2)
        return moved.reshape(len(frames), *self.shape)


def fill_gaps(frames: Array, arrived: Bools) -> Array:
    """Return stacks without the frames that did not arrive.

    In their place is the last one before that did, or, where there is none, the first one after it,
    as if an episode had begun with that. The newest frame stays as it is.

    Args:
        frames: Shape (m, frames, ...), the oldest first.
        arrived: Which of them did, shape (m, frames).

    Example:
        >>> frames = np.array([[1, 2, 3, 4], [1, 2, 3, 4]])
        >>> fill_gaps(frames, np.array([[True, False, False, True], [False, False, True, True]]))
        array([[1, 1, 1, 4],
               [3, 3, 3, 4]])
    """
    if arrived[:, :-1].all():
        return frames
    places = np.arange(frames.shape[1])
    latest = np.maximum.accumulate(np.where(arrived, places, -1), axis=1)
    source = np.where(latest < 0, arrived.argmax(axis=1)[:, None], latest)
    source[:, -1] = places[-1]
    # Where nothing but the newest is left, and that has not arrived either, it repeats that.
    source[~arrived.any(axis=1)] = places[-1]
    return frames[np.arange(len(frames))[:, None], source]


class DeclareStacked(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Says that channels hold their last frames already; changes nothing in them.

    Sensors that fail around it then fail frame by frame, as those that `StackFrames` stacks:
    after an outage, the frames that were taken during it are not delivered.

    Args:
        env: The environment, with a Dict observation.
        frames: How many by channel, at least 2; they lie along the first axis, the oldest first.

    Raises:
        TypeError: The observation is no Dict, or a channel is no Box.
        ValueError: A channel does not exist, or its first axis is no multiple of its frames.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], frames: Mapping[str, int]) -> None:
        RecordConstructorArgs.__init__(self, frames=frames)
        super().__init__(env)
        channels = dict_channels(env.observation_space, "DeclareStacked")
        check_known(frames, channels, "DeclareStacked")
        for name, count in frames.items():
            check_integer(f"frames of {name!r}", count, 2)
            box = channels[name]
            if not isinstance(box, spaces.Box):
                raise TypeError(f"DeclareStacked: {name!r} must be a Box, got {box}")
            if not box.shape or box.shape[0] % count:
                raise ValueError(
                    f"DeclareStacked: the first axis of {name!r} does not hold {count} frames, it "
                    f"has shape {box.shape}"
                )
            assert box.dtype is not None
            channels[name] = Stacked(box.low, box.high, box.dtype.type, frames=count)
        self.observation_space = channel_space(channels)
