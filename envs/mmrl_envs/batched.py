"""Environments over a task that is played many times at once.

Who writes a :class:`BatchedTask` gets a Gymnasium environment and a native vector environment of
it, which agree to the bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mmrl_envs.seeding import sub_seeds

Observation = dict[str, NDArray[Any]]
Flags = NDArray[np.bool_]


class BatchedTask(ABC):
    """A task played in `count` rows at once; rows do not influence each other.

    Attributes:
        count: Number of rows.
        observation_space: Observation space of one row, a Dict.
        action_space: Action space of one row.
    """

    count: int
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    @abstractmethod
    def check_actions(self, actions: Any) -> NDArray[Any]:
        """Return one action per row, or raise ValueError."""

    @abstractmethod
    def restart(self, rows: NDArray[np.intp], generators: Sequence[np.random.Generator]) -> None:
        """Start a new episode in these rows, with one generator for each."""

    @abstractmethod
    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], Flags, Flags]:
        """Advance all rows; return rewards and which rows are terminated and truncated."""

    @abstractmethod
    def observe(self, rows: NDArray[np.intp]) -> Observation:
        """Return new arrays with the observations of these rows."""

    @abstractmethod
    def infos(self) -> dict[str, NDArray[Any]]:
        """Return new arrays with numbers about all rows, shape (count,) each."""

    @abstractmethod
    def draw(self, row: int) -> NDArray[np.uint8]:
        """Return an RGB picture of a row for people, shape (height, width, 3)."""


class BatchedEnv(gymnasium.Env[Observation, Any]):
    """A Gymnasium environment of a task with one row.

    Args:
        task: The task.
        render_mode: "rgb_array" or None.

    Raises:
        ValueError: The render mode is another one.
    """

    def __init__(self, task: BatchedTask, render_mode: str | None) -> None:
        _check_render_mode(render_mode)
        self.render_mode = render_mode
        self._task = task
        self._row = np.zeros(1, np.intp)
        self._started = False
        self.observation_space = task.observation_space
        self.action_space = task.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; there are no options."""
        super().reset(seed=seed)
        _check_options(options, ())
        self._task.restart(self._row, [self.np_random])
        self._started = True
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance by one time step."""
        _check_started(self._started)
        actions = self._task.check_actions(np.asarray(action)[None])
        reward, terminated, truncated = self._task.step(actions)
        ends = bool(terminated[0]), bool(truncated[0])
        return self._observe(), float(reward[0]), *ends, self._info()

    def render(self) -> Any:
        """Return an RGB frame, or None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs an environment made with render_mode='rgb_array'")
            return None
        _check_started(self._started)
        return self._task.draw(0)

    def _observe(self) -> Observation:
        return {name: values[0] for name, values in self._task.observe(self._row).items()}

    def _info(self) -> dict[str, Any]:
        return {name: values[0].item() for name, values in self._task.infos().items()}


class BatchedVectorEnv(VectorEnv[Observation, Any, NDArray[Any]]):
    """A vector environment of a task with one row per sub-environment.

    Sub-environment i draws from its own stream: `reset(seed=s)` seeds it like a single
    environment with seed `mmrl_envs.seeding.sub_seeds(s, num_envs)[i]`; a list of seeds gives one
    to each. `reset` takes `options={"reset_mask": array of booleans}`, as all vector environments
    of Gymnasium.

    Args:
        task: The task.
        autoreset_mode: What follows the end of an episode: the next step resets (NEXT_STEP), the
            same step does and `infos["final_obs"]` keeps the last observation (SAME_STEP), or the
            caller resets with "reset_mask" (DISABLED).
        render_mode: "rgb_array" or None.

    Raises:
        ValueError: One of the modes is unknown.
    """

    def __init__(
        self, task: BatchedTask, autoreset_mode: AutoresetMode | str, render_mode: str | None
    ) -> None:
        _check_render_mode(render_mode)
        self.render_mode = render_mode
        self.num_envs = task.count
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self._task = task
        self.single_observation_space = task.observation_space
        self.single_action_space = task.action_space
        self.observation_space = batch_space(task.observation_space, task.count)
        self.action_space = batch_space(task.action_space, task.count)
        self._generators = [np.random.default_rng() for _ in range(task.count)]
        self._all = np.arange(task.count)
        self._ended = np.zeros(task.count, np.bool_)
        self._started = False

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode in every sub-environment, or in those of `options["reset_mask"]`."""
        _check_options(options, ("reset_mask",))
        chosen = self._check_mask((options or {}).get("reset_mask"))
        for index, value in enumerate(sub_seeds(seed, self.num_envs)):
            if value is not None and chosen[index]:
                self._generators[index] = np.random.default_rng(value)
        self._restart(chosen)
        self._started = True
        return self._task.observe(self._all), self._infos(chosen)

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Advance every sub-environment by one time step."""
        _check_started(self._started)
        actions = self._task.check_actions(actions)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise ResetNeeded(
                f"sub-environments {np.flatnonzero(self._ended).tolist()} have ended and "
                "autoreset_mode is DISABLED: reset them with options={'reset_mask': mask}"
            )
        reward, terminated, truncated = self._task.step(actions)
        if self._ended.any():  # only with NEXT_STEP: their step is the reset
            for values in (reward, terminated, truncated):
                values[self._ended] = 0
            self._restart(self._ended.copy())
        ended = terminated | truncated
        infos: dict[str, Any] = {}
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            self._ended = ended
        elif ended.any():
            infos = self._final_infos(ended)
            self._restart(ended)
        infos |= self._infos(np.ones(self.num_envs, np.bool_))
        return self._task.observe(self._all), reward, terminated, truncated, infos

    def render(self) -> Any:
        """Return one RGB frame per sub-environment, or None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs an environment made with render_mode='rgb_array'")
            return None
        _check_started(self._started)
        return tuple(self._task.draw(row) for row in range(self.num_envs))

    def _restart(self, chosen: Flags) -> None:
        rows = np.flatnonzero(chosen)
        self._task.restart(rows, [self._generators[row] for row in rows])
        self._ended[rows] = False

    def _infos(self, present: Flags) -> dict[str, Any]:
        """Return infos in Gymnasium's layout: values of absent sub-environments are zeros."""
        infos: dict[str, Any] = {}
        for name, values in self._task.infos().items():
            infos[name] = np.where(present, values, np.zeros_like(values))
            infos[f"_{name}"] = present.copy()
        return infos

    def _final_infos(self, ended: Flags) -> dict[str, Any]:
        rows = np.flatnonzero(ended)
        observation = self._task.observe(rows)
        final = np.full(self.num_envs, None, dtype=object)
        for index, row in enumerate(rows):
            final[row] = {name: values[index] for name, values in observation.items()}
        return {
            "final_obs": final,
            "_final_obs": ended.copy(),
            "final_info": self._infos(ended),
            "_final_info": ended.copy(),
        }

    def _check_mask(self, mask: Any) -> Flags:
        """Return which sub-environments a reset concerns."""
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must be {self.num_envs} booleans with at least one True, "
                f"got {mask.dtype} of shape {mask.shape}: {mask}"
            )
        if not self._started and not mask.all():
            raise ResetNeeded("the first reset() must be of all sub-environments")
        return np.array(mask, np.bool_)


def _check_render_mode(render_mode: str | None) -> None:
    if render_mode not in (None, "rgb_array"):
        raise ValueError(
            f"render_mode must be 'rgb_array' or None, got {render_mode!r}; for a window wrap the "
            "environment in gymnasium.wrappers.HumanRendering"
        )


def _check_options(options: dict[str, Any] | None, known: Sequence[str]) -> None:
    if unknown := sorted(set(options or ()) - set(known)):
        raise ValueError(f"unknown reset options {unknown}, known are {list(known)}")


def _check_started(started: bool) -> None:
    if not started:
        raise ResetNeeded("reset() must be called first")
