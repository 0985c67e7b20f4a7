"""Probes: how much of a known state can be read off a representation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn


def probe_targets(
    state: Float[NDArray[np.floating], "samples n"], angles: Sequence[int] = ()
) -> Float[NDArray[np.float64], "samples m"]:
    """The state with each angle replaced by its cosine and sine.

    Args:
        state: One row per sample.
        angles: Columns that are angles, in radians.

    Example:
        >>> probe_targets(np.array([[0.0, 3.0]]), angles=[0]).tolist()
        [[1.0, 0.0, 3.0]]
    """
    columns: list[NDArray[np.float64]] = []
    for i, column in enumerate(np.asarray(state, np.float64).T):
        columns += [np.cos(column), np.sin(column)] if i in angles else [column]
    return np.stack(columns, axis=1)


class Probe:
    """A small multilayer perceptron that is trained to read a state off latents.

    Args:
        latents: Representations (samples, latent).
        targets: What is to be read (samples, outputs).
        hidden: Width of the network's two layers.
        steps: Optimisation steps of Adam at batch 256, one-cycle rate up to 3e-3.
        seed: Seed of weights and batches.
    """

    def __init__(
        self,
        latents: Float[Tensor, "samples latent"],
        targets: Float[NDArray[np.floating], "samples outputs"],
        *,
        hidden: int = 128,
        steps: int = 3000,
        seed: int = 0,
    ) -> None:
        self.mean = torch.from_numpy(targets).float().mean(0)
        self.std = torch.from_numpy(targets).float().std(0).clamp_min(1e-6)
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                nn.Linear(latents.shape[1], hidden),
                nn.SiLU(),
                nn.Linear(hidden, hidden),
                nn.SiLU(),
                nn.Linear(hidden, targets.shape[1]),
            )
        self._train(latents.float(), torch.from_numpy(targets).float(), steps, generator)

    def _train(
        self, latents: Tensor, targets: Tensor, steps: int, generator: torch.Generator
    ) -> None:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps + 1)
        wanted = (targets - self.mean) / self.std
        for _ in range(steps):
            rows = torch.randint(len(latents), (256,), generator=generator)
            loss = nn.functional.mse_loss(self.network(latents[rows]), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def predict(self, latents: Float[Tensor, "samples latent"]) -> NDArray[np.float64]:
        """What the probe reads off latents, in the units of the targets."""
        read = self.network(latents.float()) * self.std + self.mean
        return np.asarray(read.double().numpy())

    def r2(
        self,
        latents: Float[Tensor, "samples latent"],
        targets: Float[NDArray[np.floating], "samples outputs"],
    ) -> NDArray[np.float64]:
        """Coefficient of determination of each output on other samples."""
        return r2_score(self.predict(latents), targets)


def r2_score(
    predictions: Float[NDArray[np.floating], "samples outputs"],
    targets: Float[NDArray[np.floating], "samples outputs"],
) -> Float[NDArray[np.float64], " outputs"]:
    """1 - residual sum of squares / total sum of squares, for each output.

    Example:
        >>> r2_score(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]])).tolist()
        [1.0]
    """
    residual = ((targets - predictions) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(1.0 - residual / total, np.float64)
