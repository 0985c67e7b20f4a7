"""The actor and critic of DDPG as the GMC paper's code has them.

Actor: latent-256-256-action with ReLU and tanh. Critic: latent-256, where the action joins, 256, 1.
Adam with a rate for each. (Poklukar et al., ICML 2022, https://arxiv.org/abs/2202.03390; the action
joins the second layer since Lillicrap et al., https://arxiv.org/abs/1509.02971.)
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Float
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn


class LateActionNetwork(nn.Module):
    """Q(s, a) where the action joins at the second layer.

    Args:
        features_dim: Size of s.
        action_dim: Size of a.
        widths: Widths of the hidden layers, two or more.
        activation: Between layers.
    """

    def __init__(
        self, features_dim: int, action_dim: int, widths: list[int], activation: type[nn.Module]
    ) -> None:
        super().__init__()
        self.features_dim = features_dim
        self.first = nn.Sequential(nn.Linear(features_dim, widths[0]), activation())
        layers: list[nn.Module] = []
        for i in range(1, len(widths)):
            inputs = widths[i - 1] + (action_dim if i == 1 else 0)
            layers += [nn.Linear(inputs, widths[i]), activation()]
        self.rest = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, state_and_action: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch 1"]:
        """Takes s and a side by side, as Stable-Baselines3's critics hand them over."""
        state = state_and_action[:, : self.features_dim]
        action = state_and_action[:, self.features_dim :]
        value: Tensor = self.rest(torch.cat([self.first(state), action], dim=1))
        return value


class LateActionCritic(ContinuousCritic):
    """Stable-Baselines3's critic with `LateActionNetwork`s; same arguments."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        net_arch: list[int],
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        activation_fn: type[nn.Module] = nn.ReLU,
        n_critics: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            net_arch,
            features_extractor,
            features_dim,
            activation_fn,
            n_critics=n_critics,
            **kwargs,
        )
        action_dim = get_action_dim(action_space)
        self.q_networks = []
        for i in range(n_critics):
            network = LateActionNetwork(features_dim, action_dim, net_arch, activation_fn)
            self.add_module(f"qf{i}", network)
            self.q_networks.append(network)


class ScaledAdam(torch.optim.Adam):
    """Adam at a multiple of the rate that Stable-Baselines3 sets, which is one for all networks.

    Args:
        parameters: What is optimised.
        lr: The common rate.
        factor: The multiple.
    """

    def __init__(self, parameters: Any, lr: float = 1e-3, factor: float = 1.0) -> None:
        super().__init__(parameters, lr=lr)
        self.factor = factor

    def step(self, closure: Any = None) -> Any:
        """One step at `factor` times the rate of each group."""
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] *= self.factor
        result = super().step(closure)
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate
        return result


class PaperDDPGPolicy(TD3Policy):
    """Policy for DDPG (and TD3) whose critic takes the action late and learns at its own rate.

    Args:
        observation_space: See `TD3Policy`.
        action_space: See `TD3Policy`.
        lr_schedule: Rate of the actor.
        net_arch: Hidden widths of both networks, two or more.
        critic_rate_factor: Rate of the critic as a multiple of the actor's; the paper: 1e-3 / 1e-4.
        **kwargs: See `TD3Policy`.

    Raises:
        ValueError: Fewer than two hidden layers, or a factor that is not positive.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        critic_rate_factor: float = 10.0,
        **kwargs: Any,
    ) -> None:
        net_arch = [256, 256] if net_arch is None else list(net_arch)
        if len(net_arch) < 2:
            raise ValueError(
                f"the action joins the critic's second layer: net_arch needs two, got {net_arch}"
            )
        if not critic_rate_factor > 0:
            raise ValueError(f"critic_rate_factor must be positive, got {critic_rate_factor}")
        self.critic_rate_factor = critic_rate_factor
        super().__init__(observation_space, action_space, lr_schedule, net_arch, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.critic.optimizer = ScaledAdam(
            self.critic.parameters(), lr=lr_schedule(1.0), factor=self.critic_rate_factor
        )

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """The critic, and its target."""
        arguments = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return LateActionCritic(**arguments).to(self.device)
