"""What each sensor's representation should be next, given some of the others and the action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

RATE = 3e-3
BATCH = 256
LEAST_STD = 1e-3
MOST_STD = math.e
CHANGE = 1e-6  # of a latent that never changes


@dataclass(frozen=True)
class Recording:
    """Fault-free steps of several environments.

    Attributes:
        latents: Each sensor's own representation, (steps, envs, channels, latent).
        actions: What was done after each, (steps, envs, action), see `action_features`.
        first: Where an episode starts, (steps, envs).
    """

    latents: Float[np.ndarray, "steps envs channels latent"]
    actions: Float[np.ndarray, "steps envs action"]
    first: Bool[np.ndarray, "steps envs"]


class LatentDynamics(nn.Module):
    """Predicts the next latent of every sensor, and how far off it may be.

    A multilayer perceptron corrects the obvious guess: a trusted sensor stays where it is, and one
    that is not trusted is where the trusted ones are on average (representations are aligned).
    It returns a mean and a standard deviation for every coordinate, since fast motion is harder to
    foresee than rest.

    Args:
        channels: Number of sensors.
        latent_dim: Size of each representation.
        action_dim: Number of action features.
        hidden: Width of the network's two layers.
    """

    change: Tensor
    action_mean: Tensor
    action_std: Tensor

    def __init__(self, channels: int, latent_dim: int, action_dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.network = nn.Sequential(
            nn.Linear(channels * latent_dim + channels + action_dim, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * channels * latent_dim),
        )
        self.register_buffer("change", torch.ones(latent_dim))
        self.register_buffer("action_mean", torch.zeros(action_dim))
        self.register_buffer("action_std", torch.ones(action_dim))

    def forward(
        self,
        latents: Float[Tensor, "rows channels latent"],
        trusted: Bool[Tensor, "rows channels"],
        actions: Float[Tensor, "rows action"],
    ) -> tuple[Float[Tensor, "rows channels latent"], Float[Tensor, "rows channels latent"]]:
        """Mean and logarithm of the standard deviation of the next latents.

        Args:
            latents: Present ones; arbitrary where a sensor is not trusted.
            trusted: Sensors that are looked at.
            actions: What is done.
        """
        seen = torch.where(trusted[..., None], latents, 0.0)
        count = trusted.sum(1, keepdim=True).clamp_min(1)
        guess = torch.where(trusted[..., None], latents, (seen.sum(1) / count)[:, None])
        features = (actions - self.action_mean) / self.action_std
        out = self.network(torch.cat([seen.flatten(1), trusted.float(), features], dim=1))
        mean, log_std = out.view(len(latents), 2, *latents.shape[1:]).unbind(1)
        log_std = (log_std + self.change.log()).clamp(math.log(LEAST_STD), math.log(MOST_STD))
        return guess + mean * self.change, log_std

    def fit(
        self,
        recording: Recording,
        hypotheses: Bool[np.ndarray, "hypotheses channels"],
        *,
        steps: int,
        seed: int,
    ) -> None:
        """Learns from fault-free transitions, with every set of trusted sensors equally often.

        The loss is the Gaussian likelihood with its gradient weighted by the predicted standard
        deviation, without which the mean is learnt badly where the variance is large: Seitzer et
        al., "On the pitfalls of heteroscedastic uncertainty estimation", 2022,
        https://arxiv.org/abs/2203.09168, with beta 1/2.

        Args:
            recording: What happened.
            hypotheses: Sets of trusted sensors.
            steps: Optimisation steps of Adam, one-cycle rate.
            seed: Seed of weights and batches.
        """
        now, action, then = transitions(recording)
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in self.network:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
        self.change.copy_((then - now).std((0, 1)).clamp_min(CHANGE))
        self.action_mean.copy_(action.mean(0))
        self.action_std.copy_(action.std(0).clamp_min(CHANGE))
        masks = torch.from_numpy(hypotheses)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
        for _ in range(steps):
            rows = torch.randint(len(now), (BATCH,), generator=generator)
            trusted = masks[torch.randint(len(masks), (BATCH,), generator=generator)]
            mean, log_std = self(now[rows], trusted, action[rows])
            error = (mean - then[rows]) ** 2 * torch.exp(-2 * log_std) / 2 + log_std
            loss = (error * log_std.detach().exp()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.eval()


def transitions(
    recording: Recording,
) -> tuple[
    Float[Tensor, "rows channels latent"],
    Float[Tensor, "rows action"],
    Float[Tensor, "rows channels latent"],
]:
    """Latents, actions and next latents, without those that cross into another episode."""
    inside = ~recording.first[1:]
    pairs = (recording.latents[:-1], recording.actions[:-1], recording.latents[1:])
    now, action, then = (torch.from_numpy(values[inside]).float() for values in pairs)
    return now, action, then


def action_dim(space: spaces.Space[Any]) -> int:
    """Number of action features."""
    return spaces.flatdim(space)


def action_features(
    space: spaces.Space[Any], actions: NDArray[Any]
) -> Float[np.ndarray, "envs action"]:
    """Actions of a batch as numbers: continuous ones as they are, discrete ones one-hot.

    Raises:
        TypeError: A space that no policy of Stable-Baselines3 has.
    """
    count = len(actions)
    match space:
        case spaces.Box() | spaces.MultiBinary():
            return np.asarray(actions, np.float64).reshape(count, -1)
        case spaces.Discrete():
            codes = np.asarray(actions).reshape(count) - int(space.start)
            return np.asarray(np.eye(int(space.n))[codes])
        case spaces.MultiDiscrete():
            columns = np.asarray(actions).reshape(count, -1).T - space.start.reshape(-1, 1)
            sizes = space.nvec.reshape(-1)
            return np.concatenate(
                [np.eye(int(n))[c] for n, c in zip(sizes, columns, strict=True)], axis=1
            )
    raise TypeError(f"actions must be Box, Discrete, MultiDiscrete or MultiBinary, got {space}")
