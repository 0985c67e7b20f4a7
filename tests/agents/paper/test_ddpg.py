from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from mmrl_agents.paper.ddpg import LateActionNetwork, PaperDDPGPolicy, ScaledAdam

LATENT = spaces.Box(-np.inf, np.inf, (10,), np.float32)
TORQUE = spaces.Box(-1.0, 1.0, (1,), np.float32)


def make_policy(**kwargs: object) -> PaperDDPGPolicy:
    return PaperDDPGPolicy(LATENT, TORQUE, lambda _: 1e-4, n_critics=1, **kwargs)  # type: ignore[arg-type]


def shapes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in module.parameters() if p.dim() == 2]


def test_layers_are_those_of_the_paper() -> None:
    policy = make_policy()
    assert shapes(policy.actor) == [(256, 10), (256, 256), (1, 256)]
    assert shapes(policy.critic) == [(256, 10), (256, 257), (1, 256)]
    assert shapes(policy.critic_target) == shapes(policy.critic)


def test_the_critic_is_the_formula() -> None:
    network = LateActionNetwork(3, 2, [4, 5], nn.ReLU).double()
    state, action = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    w1, b1, w2, b2, w3, b3 = network.parameters()
    hidden = torch.relu(state @ w1.T + b1)
    value = torch.relu(torch.cat([hidden, action], dim=1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(network(torch.cat([state, action], dim=1)), value)


def test_the_target_starts_as_a_copy_and_is_one() -> None:
    policy = make_policy()
    for mine, target in zip(
        policy.critic.parameters(), policy.critic_target.parameters(), strict=True
    ):
        assert torch.equal(mine, target)
        assert mine is not target


def test_scaled_adam_is_adam_at_the_scaled_rate() -> None:
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    ours = ScaledAdam([weights[0]], lr=1e-2, factor=10.0)
    theirs = torch.optim.Adam([weights[1]], lr=1e-1)
    for _ in range(5):
        for weight, optimizer in zip(weights, (ours, theirs), strict=True):
            optimizer.zero_grad()
            (weight**2).sum().backward()
            optimizer.step()
    torch.testing.assert_close(weights[0], weights[1])
    assert ours.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"net_arch": [256]}, r"net_arch needs two, got \[256\]"),
        ({"critic_rate_factor": 0.0}, "must be positive, got 0.0"),
    ],
)
def test_bad_settings_are_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_policy(**kwargs)
