"""The policy as a function that can be differentiated, and what its outputs mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from jaxtyping import Float
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor

from mmrl_agents.actions import to_env

SHARPNESS = 4.0
"""Of the distribution over actions that stands for a DQN's values, in units of their spread."""


class Teacher:
    """What a policy does on complete input, which a belief should do on incomplete input.

    Outputs are actions scaled to [-1, 1] where actions are continuous and bounded, as they are
    where they are unbounded, and logits where actions are discrete.

    Args:
        policy: Policy of Stable-Baselines3, without a memory of its own.
        action_space: Action space of the environment; None: that of the policy.

    Raises:
        ValueError: A recurrent policy, or actions that are neither a Box nor Discrete.
    """

    def __init__(self, policy: BasePolicy, action_space: spaces.Space[Any] | None = None) -> None:
        space = policy.action_space if action_space is None else action_space
        check_teachable("lstm_actor" in policy._modules, space)
        self.policy = policy.eval().requires_grad_(False)
        self.space: spaces.Space[Any] = space
        self.discrete = isinstance(space, spaces.Discrete)
        self.size = int(space.n) if isinstance(space, spaces.Discrete) else spaces.flatdim(space)
        self.sharpness = 1.0

    @property
    def bounded(self) -> bool:
        """Whether outputs are actions that lie in [-1, 1]."""
        space = self.space
        return isinstance(space, spaces.Box) and bool(space.is_bounded("both"))

    def outputs(self, policy_input: Any) -> Float[Tensor, "rows outputs"]:
        """Of a batch in the form that the policy takes, as tensors."""
        policy: Any = self.policy
        if isinstance(policy, DQNPolicy):
            values = policy.q_net(policy_input)
            return torch.log_softmax(values * self.sharpness, dim=1)
        if isinstance(policy, ActorCriticPolicy):
            distribution: Any = policy.get_distribution(policy_input).distribution
            if self.discrete:
                return torch.as_tensor(distribution.logits)
            mean = torch.as_tensor(distribution.mean)
            return mean if policy.squash_output else self._scaled(mean)
        actions: Tensor = policy.actor._predict(policy_input, deterministic=True)
        return actions.flatten(1)

    def settle(self, policy_input: Any) -> None:
        """Sets how sharply values of a DQN prefer the best action, from inputs that it meets."""
        if isinstance(self.policy, DQNPolicy):
            values: Any = self.policy.q_net(policy_input)
            self.sharpness = SHARPNESS / max(float(values.std(dim=1).mean()), 1e-6)

    def distance(
        self, outputs: Float[Tensor, "*lead outputs"], target: Float[Tensor, "*lead outputs"]
    ) -> Float[Tensor, "*lead"]:
        """How far outputs are from the teacher's: mean square, or Kullback-Leibler divergence."""
        if self.discrete:
            wanted, given = torch.log_softmax(target, -1), torch.log_softmax(outputs, -1)
            return F.kl_div(given, wanted, log_target=True, reduction="none").sum(-1)
        return (outputs - target).square().mean(-1)

    def actions(self, outputs: Float[np.ndarray, "envs outputs"]) -> NDArray[Any]:
        """The actions that outputs stand for, as the environment takes them."""
        if self.discrete:
            return to_env(outputs.argmax(axis=1), self.space)
        middle, half = (np.asarray(part) for part in self._middle_and_half())
        return to_env(middle + half * outputs, self.space)

    def features(self, actions: NDArray[Any]) -> Float[np.ndarray, "envs outputs"]:
        """Executed actions as numbers: scaled to [-1, 1] where bounded, one-hot where discrete."""
        space = self.space
        if isinstance(space, spaces.Discrete):
            codes = np.asarray(actions).reshape(-1) - int(space.start)
            return np.asarray(np.eye(self.size, dtype=np.float32)[codes])
        flat = np.asarray(actions, np.float32).reshape(len(actions), -1)
        return np.asarray(self._scaled(torch.from_numpy(flat)).numpy(), np.float32)

    def _scaled(self, actions: Float[Tensor, "rows outputs"]) -> Float[Tensor, "rows outputs"]:
        middle, half = self._middle_and_half()
        return ((actions - middle) / half).float()

    def _middle_and_half(self) -> tuple[Tensor, Tensor]:
        """Of the policy's range of each number of an action; 0 and 1 where it has none."""
        space = self.policy.action_space
        assert isinstance(space, spaces.Box)
        low, high = (torch.as_tensor(b.reshape(-1)) for b in (space.low, space.high))
        bounded = torch.isfinite(low) & torch.isfinite(high)
        middle = torch.where(bounded, (low.double() + high) / 2, 0.0)
        half = torch.where(bounded, (high.double() - low) / 2, 1.0)
        return middle, half


def check_teachable(recurrent: bool, action_space: spaces.Space[Any]) -> None:
    """Whether a belief can learn from a policy.

    Args:
        recurrent: Whether the policy has a memory of its own.
        action_space: Action space of the environment.

    Raises:
        ValueError: It cannot.
    """
    if recurrent:
        raise ValueError(
            "a recurrent policy remembers on its own, and its state would not follow what a belief "
            "fills in: train it with another algorithm, or set belief=none"
        )
    if not isinstance(action_space, spaces.Box | spaces.Discrete):
        raise ValueError(f"a belief needs actions that are a Box or Discrete, got {action_space}")
