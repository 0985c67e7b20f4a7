"""Gymnasium's vector environments as Stable-Baselines3 sees environments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from mmrl_agents.actions import policy_space, to_env

Indices = int | Iterable[int] | None


class GymnasiumVecEnv(VecEnv):
    """A `gymnasium.vector.VectorEnv`, native ones included, as a Stable-Baselines3 `VecEnv`.

    Environments that step as one batch are an order of magnitude faster than the loop of
    `DummyVecEnv`. A seed is spread by `numpy.random.SeedSequence` first: `seed(0)` and `seed(1)`
    share no stream, while Stable-Baselines3 and `SyncVectorEnv` give sub-environment i the seed
    s + i. Actions are chosen from `actions.policy_space`, and told as the environments take them.

    Args:
        envs: Must reset in the same step in which an episode ends and return fresh arrays
            (`copy=True`, Gymnasium's default).

    Raises:
        TypeError: `envs` is no vector environment.
        ValueError: It resets at another time.

    Example:
        >>> import gymnasium as gym
        >>> from gymnasium.vector import AutoresetMode
        >>> envs = gym.make_vec(
        ...     "CartPole-v1",
        ...     num_envs=2,
        ...     vectorization_mode="sync",
        ...     vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        ... )
        >>> GymnasiumVecEnv(envs).reset().shape
        (2, 4)
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        if not isinstance(envs, VectorEnv):
            raise TypeError(f"expected a gymnasium.vector.VectorEnv, got {type(envs).__name__}")
        mode = envs.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"{envs} has autoreset mode {mode}, but Stable-Baselines3 needs an episode's last "
                "observation and the next one's first in one step: make the environments with "
                "autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
            )
        self.envs = envs
        self._actions: NDArray[Any] | None = None
        self._seed: int | None = None
        chosen = policy_space(envs.single_action_space)
        super().__init__(envs.num_envs, envs.single_observation_space, chosen)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Sets the seed of the next reset; None leaves the environments' own streams."""
        self._seed = (
            None if seed is None else int(np.random.SeedSequence(seed).generate_state(1)[0])
        )
        return [self._seed] * self.num_envs

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Sets the options of the next reset, the same for all environments.

        Raises:
            ValueError: A list of options that differ.
        """
        if isinstance(options, list):
            if any(option != options[0] for option in options):
                raise ValueError("a vector environment takes one dict of reset options for all")
            options = options[0]
        super().set_options(options)

    def reset(self) -> VecEnvObs:
        """Starts an episode everywhere; seed and options hold for this reset only."""
        observations, infos = self.envs.reset(seed=self._seed, options=self._options[0] or None)
        self.reset_infos = split_infos(infos, self.num_envs)
        self._seed = None
        self._reset_options()
        checked: VecEnvObs = observations
        return checked

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = to_env(actions, self.envs.single_action_space)

    def step_wait(self) -> VecEnvStepReturn:
        """Steps all environments, and restarts those whose episode ended."""
        observations, rewards, terminated, truncated, vector_infos = self.envs.step(self._actions)
        dones = np.logical_or(terminated, truncated)
        infos = split_infos(vector_infos, self.num_envs)
        for i in range(self.num_envs):
            infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        for i in map(int, np.flatnonzero(dones)):
            final_observation = infos[i].pop("final_obs")
            final = infos[i].pop("final_info", {})
            final["TimeLimit.truncated"] = infos[i].pop("TimeLimit.truncated")
            final["terminal_observation"] = final_observation
            self.reset_infos[i], infos[i] = infos[i], final
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Releases the environments; a second call does nothing."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """One RGB frame per environment; `render` tiles them."""
        frames = self.envs.render()
        return [None] * self.num_envs if frames is None else list(frames)  # type: ignore[arg-type]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute per environment; of a native vector environment its own, repeated."""
        chosen = list(self._get_indices(indices))
        if isinstance(envs := self.envs.unwrapped, SyncVectorEnv | AsyncVectorEnv):
            values = envs.get_attr(attr_name)
            return [values[i] for i in chosen]
        owner = self.envs if hasattr(self.envs, attr_name) else envs
        return [getattr(owner, attr_name)] * len(chosen)

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Sets an attribute of every environment; of a native vector environment its own."""
        self._refuse_some(indices, "set_attr")
        if isinstance(envs := self.envs.unwrapped, SyncVectorEnv | AsyncVectorEnv):
            envs.set_attr(attr_name, [value] * self.num_envs)
        else:
            setattr(envs, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any
    ) -> list[Any]:
        """Calls a method of every environment.

        Raises:
            NotImplementedError: A native vector environment has no separate environments, and the
                others cannot call a method of some of them only.
        """
        self._refuse_some(indices, "env_method")
        if isinstance(envs := self.envs.unwrapped, SyncVectorEnv | AsyncVectorEnv):
            return list(envs.call(method_name, *args, **kwargs))
        raise NotImplementedError(
            f"{self.envs} steps all environments as one and has no environment of its own to call "
            f"{method_name!r} on; call a method of the vector environment: `.envs.unwrapped`"
        )

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Whether each environment has a wrapper; never true of a native vector environment."""
        chosen = list(self._get_indices(indices))
        if isinstance(envs := self.envs.unwrapped, SyncVectorEnv):
            return [is_wrapped(envs.envs[i], wrapper_class) for i in chosen]
        return [False] * len(chosen)

    def _refuse_some(self, indices: Indices, what: str) -> None:
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise NotImplementedError(
                f"{what} of a vector environment concerns all {self.num_envs} environments, got "
                f"indices {indices}"
            )


def split_infos(infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Gymnasium's dict of arrays as one dict per environment.

    Args:
        infos: Arrays by name; `_name` masks the environments that have it, without a mask all do.
        num_envs: Length of the arrays.

    Example:
        >>> split_infos({"lives": np.array([3, 0]), "_lives": np.array([True, False])}, 2)
        [{'lives': np.int64(3)}, {}]
    """
    split: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for name, values in infos.items():
        if name.startswith("_"):
            continue
        present = infos.get(f"_{name}")
        if isinstance(values, dict):
            values = split_infos(values, num_envs)
        for i in range(num_envs) if present is None else np.flatnonzero(present):
            split[i][name] = values[i]
    return split
