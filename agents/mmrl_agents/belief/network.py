"""The recurrent state estimator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

SMALLEST = 1e-4
"""Standard deviation below which a number counts as constant."""


@dataclass(frozen=True)
class Sizes:
    """How much goes in and out of a belief.

    Args:
        latent: Numbers of the encoder's latent; 0 without one.
        readings: Numbers of the sensors that are read.
        sensors: All of them.
        actions: Numbers that stand for an action.
        numbers: What the policy sees and is estimated.
        hidden: Width of the recurrent state.
        bounded: Whether actions lie in [-1, 1].
    """

    latent: int
    readings: int
    sensors: int
    actions: int
    numbers: int
    hidden: int
    bounded: bool

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Evidence(NamedTuple):
    """What a step tells, with any leading axes.

    Attributes:
        latent: Latent of what is looked at and there.
        readings: Raw, arbitrary where missing.
        readable: Which of them are there.
        available: Which sensors are there.
        previous: The executed action before, zeros at an episode's start.
    """

    latent: Tensor
    readings: Tensor
    readable: Tensor
    available: Tensor
    previous: Tensor


class Guess(NamedTuple):
    """What a belief makes of its state.

    Attributes:
        numbers: Estimates of what the policy would see, in its units.
        spread: Their standard deviations, in the same units.
        outputs: What the action head would do, see `Teacher`.
        doubt: Logarithms of the errors expected of the action: acting on the estimates, and of the
            action head.
    """

    numbers: Tensor
    spread: Tensor
    outputs: Tensor
    doubt: Tensor


class BeliefNetwork(nn.Module):
    """A gated recurrent unit over what is there, the mask and the last action.

    Args:
        sizes: See `Sizes`.
    """

    center: Tensor
    scale: Tensor
    reading_center: Tensor
    reading_scale: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        hidden, inputs = sizes.hidden, sizes.latent + sizes.readings + sizes.sensors + sizes.actions
        self.join = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.recur = nn.GRUCell(hidden, hidden)
        self.start = nn.Parameter(torch.zeros(hidden))
        self.unknown = nn.Parameter(torch.zeros(hidden))
        self.estimate = _mlp(2 * hidden, [hidden], sizes.numbers)
        self.act = _mlp(2 * hidden, [2 * hidden, 2 * hidden], sizes.actions)
        self.doubt = _mlp(2 * hidden, [hidden], sizes.numbers + 2)
        for name, size in (("", sizes.numbers), ("reading_", sizes.readings)):
            self.register_buffer(f"{name}center", torch.zeros(size))
            self.register_buffer(f"{name}scale", torch.ones(size))

    def settle(
        self,
        numbers: Float[np.ndarray, "rows numbers"],
        readings: Float[np.ndarray, "rows readings"],
    ) -> None:
        """Takes means and standard deviations from complete data; weights include them."""
        for name, data in (("", numbers), ("reading_", readings)):
            deviation = data.std(axis=0, dtype=np.float64)
            deviation = np.where(deviation < SMALLEST, 1.0, deviation)
            _fill(getattr(self, f"{name}center"), data.mean(axis=0, dtype=np.float64))
            _fill(getattr(self, f"{name}scale"), deviation)

    def features(self, evidence: Evidence) -> Float[Tensor, "*lead hidden"]:
        """What a step tells, joined; values of what is missing do not matter."""
        readings = (evidence.readings - self.reading_center) / self.reading_scale
        readings = torch.where(evidence.readable, readings.clamp(-10.0, 10.0), 0.0)
        parts = [evidence.latent, readings, evidence.available.float(), evidence.previous]
        joined: Tensor = self.join(torch.cat(parts, dim=-1))
        return joined

    def step(
        self,
        state: Float[Tensor, "rows hidden"],
        features: Float[Tensor, "rows hidden"],
        first: Bool[Tensor, " rows"],
    ) -> Float[Tensor, "rows hidden"]:
        """The next state; where an episode has just started, what was before is forgotten."""
        before = torch.where(first[:, None], self.start, state)
        after: Tensor = self.recur(features, before)
        return after

    def guess(
        self, state: Float[Tensor, "*lead hidden"], features: Float[Tensor, "*lead hidden"]
    ) -> Guess:
        """What follows from a state; spread and doubt hand no gradients on to it."""
        both = torch.cat([state, features], dim=-1)
        outputs = self.act(both)
        doubt = self.doubt(both.detach())
        return Guess(
            self.estimate(both) * self.scale + self.center,
            doubt[..., 2:].clamp(-7.0, 3.0).exp() * self.scale,
            torch.tanh(outputs) if self.sizes.bounded else outputs,
            doubt[..., :2],
        )


def _mlp(inputs: int, hidden: list[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def _fill(buffer: Tensor, values: NDArray[np.float64]) -> None:
    buffer.copy_(torch.as_tensor(values))
