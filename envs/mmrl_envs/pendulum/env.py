"""`mmrl/MultimodalPendulum-v0`: swing up a pendulum that is seen and heard.

The reinforcement learning scenario of GMC (https://arxiv.org/abs/2202.03390): an image of the rod
and the sound of its tip at static receivers. One image does not show the speed; two images, or one
sound, determine the whole state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mmrl_envs.pendulum.model import MAX_SPEED, Floats
from mmrl_envs.pendulum.task import Observation, PendulumTask
from mmrl_envs.seeding import sub_seeds
from mmrl_envs.validation import check_integer


class MultimodalPendulumEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """A pendulum to be swung up and held, seen as an image and heard as sound.

    Observation (`Dict`): `image`, uint8 of 0 and 255, shape (stack, size, size); `sound`, float32
    within [0, 1], shape (stack, receivers, 2): frequency and amplitude per receiver, each scaled
    by its analytic range. Action (`Box`): the torque, shape (1,). Reward: -(angle^2 + 0.1 speed^2 +
    0.001 torque^2) of the state that is left. `info["state"]` is (theta, theta_dot), float64.
    Episodes are truncated after `episode_length` steps and never terminate.

    A start is drawn from angle U(-pi, pi) and speed U(-1, 1), followed by one step without torque.
    `reset(options={"state": (theta, theta_dot)})` starts exactly there instead.

    Args:
        render_mode: "rgb_array" or None. A window comes from
            `gymnasium.wrappers.HumanRendering`.
        **settings: See :class:`~mmrl_envs.pendulum.task.PendulumSettings`.

    Raises:
        TypeError: A setting is unknown or has the wrong type.
        ValueError: A setting is out of range.

    Example:
        >>> import gymnasium, mmrl_envs
        >>> env = gymnasium.make("mmrl/MultimodalPendulum-v0")
        >>> observation, info = env.reset(seed=0, options={"state": (3.0, 0.0)})
        >>> observation["image"].shape, observation["sound"].shape
        ((2, 60, 60), (2, 3, 2))
        >>> info["state"]
        array([3., 0.])
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        _check_render_mode(render_mode)
        self.render_mode = render_mode
        self._task = PendulumTask(settings)
        self.observation_space = self._task.observation_space
        self.action_space = self._task.action_space
        self._history: Floats | None = None
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see the class for `options`."""
        super().reset(seed=seed)
        choices = _check_options(options, ("state",))
        if "state" in choices:
            state = _check_state(choices["state"], (2,))
            self._history = self._task.rest(state)
        else:
            self._history = self._task.start(self.np_random.random(2))
        self._steps = 0
        return self._observe(self._history)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply a torque for one time step of 0.05 s."""
        if self._history is None:
            raise ResetNeeded("step() was called before reset(): call env.reset() first")
        torque = _check_action(action, (1,))[0]
        self._history, reward = self._task.step(self._history, torque)
        self._steps += 1
        observation, info = self._observe(self._history)
        truncated = self._steps >= self._task.settings.episode_length
        return observation, float(reward), False, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """Return the image beside the sound levels, RGB, shape (height, width, 3)."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs an environment made with render_mode='rgb_array'")
            return None
        if self._history is None:
            raise ResetNeeded("render() was called before reset(): call env.reset() first")
        return self._task.draw(self._history)

    def _observe(self, history: Floats) -> tuple[Observation, dict[str, Any]]:
        return self._task.observe(history), {"state": history[-1].copy()}


class MultimodalPendulumVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """Many multimodal pendulums, stepped as one batch; see :class:`MultimodalPendulumEnv`.

    Sub-environment i draws from its own stream: `reset(seed=s)` seeds it like a single
    environment with seed `mmrl_envs.seeding.sub_seeds(s, num_envs)[i]`; a list of seeds gives one
    to each. `reset` takes `options={"state": array of shape (n, 2)}` and, as all vector
    environments of Gymnasium, `options={"reset_mask": array of n booleans}`.

    Args:
        num_envs: Number of sub-environments.
        autoreset_mode: What follows the end of an episode: the next step resets (NEXT_STEP), the
            same step does and `infos["final_obs"]` keeps the last observation (SAME_STEP), or the
            caller resets with "reset_mask" (DISABLED).
        render_mode: "rgb_array" or None.
        **settings: See :class:`~mmrl_envs.pendulum.task.PendulumSettings`.

    Raises:
        TypeError: A setting is unknown or has the wrong type.
        ValueError: A setting is out of range.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        check_integer("num_envs", num_envs, 1)
        _check_render_mode(render_mode)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self._task = PendulumTask(settings)
        self.single_observation_space = self._task.observation_space
        self.single_action_space = self._task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators = [np.random.default_rng() for _ in range(num_envs)]
        self._history: Floats | None = None
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode in every sub-environment, or in those of `options["reset_mask"]`."""
        choices = _check_options(options, ("state", "reset_mask"))
        chosen = self._check_mask(choices.get("reset_mask"))
        for index, value in enumerate(sub_seeds(seed, self.num_envs)):
            if value is not None and chosen[index]:
                self._generators[index] = np.random.default_rng(value)
        if "state" in choices:
            state = _check_state(choices["state"], (self.num_envs, 2))
            self._set(chosen, self._task.rest(state)[chosen])
        else:
            self._restart(chosen)
        assert self._history is not None
        return self._task.observe(self._history), self._infos(self._history, chosen)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Apply one torque per sub-environment, shape (n, 1)."""
        if self._history is None:
            raise ResetNeeded("step() was called before reset(): call envs.reset() first")
        torque = _check_action(actions, (self.num_envs, 1))[:, 0]
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise ResetNeeded(
                f"sub-environments {np.flatnonzero(self._ended).tolist()} have ended and "
                "autoreset_mode is DISABLED: reset them with options={'reset_mask': mask}"
            )
        restarting = self._ended
        self._history, reward = self._task.step(self._history, torque)
        self._steps += 1
        if restarting.any():
            reward[restarting] = 0.0
            self._restart(restarting)
        truncated = self._steps >= self._task.settings.episode_length
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            if truncated.any():
                infos = self._final_infos(truncated)
                self._restart(truncated)
        else:
            self._ended = truncated
        infos |= self._infos(self._history, np.ones(self.num_envs, np.bool_))
        terminated = np.zeros(self.num_envs, np.bool_)
        return self._task.observe(self._history), reward, terminated, truncated.copy(), infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one RGB frame per sub-environment; see the single environment."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs an environment made with render_mode='rgb_array'")
            return None
        if self._history is None:
            raise ResetNeeded("render() was called before reset(): call envs.reset() first")
        return tuple(self._task.draw(history) for history in self._history)

    def _set(self, chosen: NDArray[np.bool_], history: Floats) -> None:
        if self._history is None:
            self._history = np.zeros((self.num_envs, self._task.settings.stack, 2))
        self._history[chosen] = history
        self._steps[chosen] = 0
        self._ended = self._ended & ~chosen

    def _restart(self, chosen: NDArray[np.bool_]) -> None:
        unit = [self._generators[index].random(2) for index in np.flatnonzero(chosen)]
        self._set(chosen, self._task.start(np.array(unit)))

    def _infos(self, history: Floats, present: NDArray[np.bool_]) -> dict[str, Any]:
        """Return infos in Gymnasium's layout: values of absent sub-environments are zeros."""
        return {"state": np.where(present[:, None], history[:, -1], 0.0), "_state": present.copy()}

    def _final_infos(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        assert self._history is not None
        observation = self._task.observe(self._history[ended])
        final = np.full(self.num_envs, None, dtype=object)
        for row, index in enumerate(np.flatnonzero(ended)):
            final[index] = {name: values[row] for name, values in observation.items()}
        return {
            "final_obs": final,
            "_final_obs": ended.copy(),
            "final_info": self._infos(self._history, ended),
            "_final_info": ended.copy(),
        }

    def _check_mask(self, mask: Any) -> NDArray[np.bool_]:
        """Return which sub-environments a reset concerns."""
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must be {self.num_envs} booleans with at least one True, "
                f"got {mask.dtype} of shape {mask.shape}: {mask}"
            )
        if self._history is None and not mask.all():
            raise ResetNeeded("the first reset() must be of all sub-environments")
        return np.array(mask, np.bool_)


def _check_render_mode(render_mode: str | None) -> None:
    if render_mode not in (None, "rgb_array"):
        raise ValueError(
            f"render_mode must be 'rgb_array' or None, got {render_mode!r}; for a window wrap the "
            "environment in gymnasium.wrappers.HumanRendering"
        )


def _check_options(options: Mapping[str, Any] | None, known: Sequence[str]) -> Mapping[str, Any]:
    unknown = sorted(set(options or ()) - set(known))
    if unknown:
        raise ValueError(f"unknown reset options {unknown}, known are {list(known)}")
    return options or {}


def _check_state(state: Any, shape: tuple[int, ...]) -> Floats:
    values = np.asarray(state, dtype=np.float64)
    if values.shape != shape or not np.all(np.isfinite(values)):
        raise ValueError(
            f"options['state'] must be finite (theta, theta_dot) of shape {shape}, "
            f"got shape {values.shape}: {state!r}"
        )
    if np.any(np.abs(values[..., 1]) > MAX_SPEED):
        raise ValueError(
            f"theta_dot in options['state'] must be within +-{MAX_SPEED:g}, got {state!r}"
        )
    return values


def _check_action(action: Any, shape: tuple[int, ...]) -> Floats:
    """Return the action as float64; values beyond the limit are clipped later, as in the paper."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"action must have shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"action must be finite, got {values}")
    return values
