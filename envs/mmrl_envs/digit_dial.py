"""`mmrl/DigitDial-v0`: a dial that is turned by who sees and hears the digit that it shows.

What is observed are recordings of a labelled data set, so that the encoder of a classifier and of
a policy can be the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from mmrl_envs.arrays import read_arrays
from mmrl_envs.batched import BatchedEnv, BatchedTask, BatchedVectorEnv, Flags, Observation
from mmrl_envs.validation import check_integer

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 5}
TURNS = np.array([0, 1, -1])
ZOOM = 8
MOST = 2**33
"""Bytes that recordings can have."""

Arrays = Mapping[str, NDArray[Any]]


class DigitDialTask(BatchedTask):
    """Dials with the recordings that show where they stand.

    Args:
        count: Number of dials.
        data: See :class:`DigitDialEnv`.
        split: Which recordings of the data.
        episode_length: Turns until an episode is truncated.
        goal: The digit that dials are turned to.
    """

    def __init__(
        self, count: int, data: str | Path | Arrays, split: str, episode_length: int, goal: int
    ) -> None:
        check_integer("num_envs", count, 1)
        check_integer("episode_length", episode_length, 1)
        self.count = count
        self.channels, target = read_split(data, split)
        self.digits = int(target.max()) + 1
        self._rows = [np.flatnonzero(target == digit) for digit in range(self.digits)]
        if lacking := [digit for digit, rows in enumerate(self._rows) if not len(rows)]:
            raise ValueError(f"split {split!r} has no recording of the classes {lacking}")
        check_integer("goal", goal, 0)
        if goal >= self.digits:
            raise ValueError(f"goal must be a class from 0 to {self.digits - 1}, got {goal}")
        self.goal = goal
        self.episode_length = episode_length
        self._digit = np.zeros(count, np.int64)
        self._turn = np.zeros(count, np.int64)
        # Chosen when an episode starts: what a row shows depends on its own stream alone.
        self._chances = np.zeros((count, episode_length + 1))
        self.observation_space = spaces.Dict(
            {name: _space(values) for name, values in self.channels.items()}
        )
        self.action_space = spaces.Discrete(len(TURNS))

    def check_actions(self, actions: Any) -> NDArray[Any]:
        """Return the actions as integers, (count,)."""
        values = np.asarray(actions)
        if values.shape != (self.count,) or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"actions must be {self.count} integers, one per environment, got {values.dtype} "
                f"of shape {values.shape}"
            )
        if ((values < 0) | (values >= len(TURNS))).any():
            raise ValueError(f"actions must be from 0 to {len(TURNS) - 1}, got {values.tolist()}")
        return values.astype(np.int64)

    def restart(self, rows: NDArray[np.intp], generators: Sequence[np.random.Generator]) -> None:
        """Spin the dials, and choose recordings for a whole episode."""
        for row, generator in zip(rows, generators, strict=True):
            self._digit[row] = generator.integers(self.digits)
            self._chances[row] = generator.random(self.episode_length + 1)
        self._turn[rows] = 0

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], Flags, Flags]:
        """Turn every dial."""
        self._digit = (self._digit + TURNS[actions]) % self.digits
        self._turn = np.minimum(self._turn + 1, self.episode_length)
        away = np.abs(self._digit - self.goal)
        away = np.minimum(away, self.digits - away)
        truncated = self._turn >= self.episode_length
        reward = -away / max(self.digits // 2, 1)
        return reward, np.zeros(self.count, np.bool_), truncated

    def observe(self, rows: NDArray[np.intp]) -> Observation:
        """Return one recording of the digit of each of these rows."""
        chosen = np.array([self._recording(int(row)) for row in rows], np.intp)
        return {name: values[chosen] for name, values in self.channels.items()}

    def infos(self) -> dict[str, NDArray[Any]]:
        """Return the digits that the dials show."""
        return {"digit": self._digit.copy()}

    def draw(self, row: int) -> NDArray[np.uint8]:
        """Return the recording that is an image, enlarged; black where none is."""
        image = next(
            (v[self._recording(row)] for v in self.channels.values() if v.dtype == np.uint8),
            np.zeros((1, 28, 28), np.uint8),
        )
        plane = image.reshape(-1, *image.shape[-2:])[-1]
        large = plane.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
        return np.repeat(large[:, :, None], 3, axis=2)

    def _recording(self, row: int) -> int:
        rows = self._rows[self._digit[row]]
        return int(rows[int(self._chances[row, self._turn[row]] * len(rows))])


class DigitDialEnv(BatchedEnv):
    """Turn a dial to a digit that is seen and heard, and hold it there.

    The dial shows one of the digits in a circle, at first any of them. Actions (`Discrete`): hold,
    next digit, previous digit. Reward: minus the distance to the goal on the circle after the turn,
    divided by the largest distance; between -1 and 0. Who reads the digit perfectly gets -0.03 per
    turn of 20 on average, who turns at random -0.5. Episodes are truncated after
    `episode_length` turns. `info["digit"]` is what the dial shows.

    Observation (`Dict`): the channels of the data set, such as `image` and `sound`: a recording of
    the digit, another one at every turn, drawn at random.

    Args:
        data: An npz file with `<split>/<channel>` (recordings, ...) and `<split>/target`, classes
            from 0, or the same as a mapping of arrays.
        split: Which recordings: a policy is best tested on others than it was trained on.
        episode_length: Turns until the episode is truncated, at least 1.
        goal: The digit that the dial is turned to.
        render_mode: "rgb_array" or None.

    Raises:
        TypeError: A setting is no integer.
        ValueError: There is no such file or split, the recordings do not fit each other, or a
            setting is out of range.

    Example:
        >>> import gymnasium, mmrl_envs, numpy as np
        >>> data = {"train/image": np.zeros((4, 1, 8, 8), np.uint8), "train/target": np.arange(4)}
        >>> env = gymnasium.make("mmrl/DigitDial-v0", data=data)
        >>> observation, info = env.reset(seed=0)
        >>> observation["image"].shape, info["digit"] in range(4)
        ((1, 8, 8), True)
    """

    metadata = METADATA

    def __init__(
        self,
        *,
        data: str | Path | Arrays,
        split: str = "train",
        episode_length: int = 20,
        goal: int = 0,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(DigitDialTask(1, data, split, episode_length, goal), render_mode)


class DigitDialVectorEnv(BatchedVectorEnv):
    """Many dials, turned as one batch; see :class:`DigitDialEnv`.

    Args:
        num_envs: Number of sub-environments.
        data: Digits that are seen and heard, see :class:`DigitDialEnv`.
        split: Which split's recordings are shown, `train` or `test`.
        episode_length: Steps after which an episode is truncated.
        goal: Digit to which the dial is to be turned.
        autoreset_mode: See :class:`~mmrl_envs.batched.BatchedVectorEnv`, also for seeds.
        render_mode: "rgb_array" or None.

    Raises:
        TypeError: A setting is no integer.
        ValueError: See :class:`DigitDialEnv`, or a mode is unknown.
    """

    metadata = METADATA

    def __init__(
        self,
        num_envs: int = 1,
        *,
        data: str | Path | Arrays,
        split: str = "train",
        episode_length: int = 20,
        goal: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        task = DigitDialTask(num_envs, data, split, episode_length, goal)
        super().__init__(task, autoreset_mode, render_mode)


def read_split(
    data: str | Path | Arrays, split: str
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Recordings by channel, and their classes.

    Raises:
        ValueError: There is no such file or split, or the recordings do not fit each other.
    """
    if isinstance(data, Mapping):
        arrays: Arrays = data
    else:
        try:
            arrays = read_arrays(data, MOST)
        except OSError as error:
            raise ValueError(f"no recordings at {data}: {error}") from error
    own = {name.partition("/")[2]: a for name, a in arrays.items() if name.startswith(f"{split}/")}
    target = own.pop("target", None)
    own.pop("available", None)
    if target is None or target.ndim != 1 or not np.issubdtype(target.dtype, np.integer):
        raise ValueError(
            f"the data must have {split}/target, one class for each recording; they have "
            f"{sorted(arrays)}"
        )
    if not own or any(len(values) != len(target) or values.ndim < 2 for values in own.values()):
        shapes = {name: values.shape for name, values in own.items()}
        raise ValueError(f"{len(target)} recordings do not have channels of shapes {shapes}")
    channels = {
        name: values if values.dtype == np.uint8 else values.astype(np.float32)
        for name, values in own.items()
    }
    return channels, target.astype(np.int64)


def _space(values: NDArray[Any]) -> spaces.Box:
    if values.dtype == np.uint8:
        return spaces.Box(0, 255, values.shape[1:], np.uint8)
    return spaces.Box(
        float(np.nanmin(values)), float(np.nanmax(values)), values.shape[1:], np.float32
    )
