"""Whatever chooses actions, as something that acts: models, agents, plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from mmrl_agents.acting import Acting, ObservationPolicy, PolicyMemory, Predicts
from mmrl_agents.agent import Agent
from mmrl_agents.latent import Observation

Chooses: TypeAlias = Callable[[Observation], ArrayLike]
"""Takes values by channel, (envs, *shape) each, and `available`; returns an action for each env."""

AnyPolicy: TypeAlias = Acting | Agent | Predicts | Chooses


class Predicting:
    """Something with `predict`, with the state that it hands from step to step.

    Args:
        model: What predicts; it sees every channel and `available`.
    """

    def __init__(self, model: Predicts) -> None:
        self.memory = PolicyMemory(model, deterministic=True)

    def act(self, observations: Observation, first: Bool[np.ndarray, " envs"]) -> NDArray[Any]:
        """See `Acting`."""
        return _one_each(self.memory.predict(dict(observations), first), len(first))


class Choosing:
    """A function of the observations.

    Args:
        choose: The function; it sees every channel and `available`, and remembers nothing of ours.
    """

    def __init__(self, choose: Chooses) -> None:
        self.choose = choose

    def act(self, observations: Observation, first: Bool[np.ndarray, " envs"]) -> NDArray[Any]:
        """See `Acting`."""
        return _one_each(np.asarray(self.choose(observations)), len(first))


def as_acting(policy: AnyPolicy) -> Acting:
    """Whatever chooses actions, as something that acts in a batch of environments.

    Args:
        policy: What `mmrl.load` returned; a model or policy of Stable-Baselines3 on a Dict
            observation, which sees the channels that it was trained with; another object with
            such a `predict`; a function from observations to actions; or an `Acting`.

    Raises:
        TypeError: It is none of these, or a model on something else than a Dict observation.

    Example:
        >>> still = as_acting(lambda observation: np.zeros((len(observation["sound"]), 1)))
        >>> still.act({"sound": np.ones((3, 2))}, np.ones(3, np.bool_)).shape
        (3, 1)
    """
    if isinstance(policy, Agent):  # its own `act` takes one observation, not a batch
        return policy.acting
    if isinstance(policy, Acting):
        return policy
    if isinstance(policy, BaseAlgorithm | BasePolicy):
        return ObservationPolicy(policy)
    if isinstance(policy, Predicts):
        return Predicting(policy)
    if callable(policy):
        return Choosing(policy)
    raise TypeError(
        f"expected a policy, got {type(policy).__name__}: an agent of mmrl.load, a model of "
        "Stable-Baselines3, an object with its predict, or a function from observations to actions"
    )


def _one_each(actions: NDArray[Any], count: int) -> NDArray[Any]:
    if actions.ndim == 0 or len(actions) != count:
        raise ValueError(
            f"the policy chose actions of shape {actions.shape} for {count} environments; expected "
            f"({count}, ...): observations come in batches, one row per environment"
        )
    return actions
