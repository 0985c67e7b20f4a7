"""Whether an agent can be built, asked before there is anything to train it in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any, NoReturn

from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from mmrl import checkpoint
from mmrl.methods.method import Method
from mmrl_agents.actions import policy_space
from mmrl_agents.build import build_agent, training_env
from mmrl_agents.config import AgentConfig, check_actions


def check_agent(
    config: AgentConfig,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    encoder: Method | None = None,
) -> None:
    """Builds the algorithm and throws it away.

    Args:
        config: The settings of the agent.
        observation_space: What one environment delivers, as the agent will be trained in it.
        action_space: What one environment takes.
        encoder: What will represent observations; None: the policy sees them as they are.

    Raises:
        ValueError: The algorithm cannot choose the actions, or refuses its arguments or networks.
    """
    check_actions(config.algorithm, action_space)
    venv = SpacesOnly(config.n_envs, observation_space, policy_space(action_space))
    with tempfile.TemporaryDirectory() as folder:
        path = None
        if config.finetune and encoder is not None:
            checkpoint.save(encoder, folder)
            path = f"{folder}/encoder.yaml"
        try:
            wrapped = training_env(config, venv, encoder)
            build_agent(config, wrapped, seed=0, checkpoint=path)
        except Exception as error:  # algorithms, policies and torch refuse in many ways
            said = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{config.algorithm} cannot be built like this: {said}") from error


class SpacesOnly(VecEnv):
    """Environments of which nothing but the spaces exists.

    Args:
        num_envs: How many.
        observation_space: What one environment delivers.
        action_space: What one environment takes.
    """

    def __init__(
        self, num_envs: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        super().__init__(num_envs, observation_space, action_space)

    def reset(self) -> VecEnvObs:
        """Raises RuntimeError."""
        self._refuse()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Raises RuntimeError."""
        self._refuse()

    def step_wait(self) -> VecEnvStepReturn:
        """Raises RuntimeError."""
        self._refuse()

    def close(self) -> None:
        """Does nothing."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """None for each: there is nothing to ask."""
        return [None] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Does nothing."""

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Raises RuntimeError."""
        self._refuse()

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """False for each."""
        return [False] * len(list(self._get_indices(indices)))

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Does nothing."""
        return [seed] * self.num_envs

    def _refuse(self) -> NoReturn:
        raise RuntimeError("these environments have spaces only")
