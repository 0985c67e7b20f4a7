"""A residual layer on a representation, and the head that predicts from it."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mmrl.nn.dropout import dropout


class Residual(nn.Module):
    """Adds two layers of the input to the input.

    Args:
        width: Width of the input.
        rate: Rate of dropout between the layers.
    """

    def __init__(self, width: int, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate
        self.residual1 = nn.Linear(width, width)
        self.residual2 = nn.Linear(width, width)

    def forward(self, z: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """The sum."""
        y = dropout(F.relu(self.residual1(z)), self.rate, self.training)
        total: Tensor = z + self.residual2(y)
        return total


class ResidualHead(Residual):
    """A residual layer and a linear map (MulT, supervised GMC).

    Args:
        width: Width of the input.
        outputs: Width of the output.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width)
        self.out = nn.Linear(width, outputs)

    def forward(self, z: Float[Tensor, "batch width"]) -> Float[Tensor, "batch outputs"]:
        """The prediction."""
        y: Tensor = self.out(super().forward(z))
        return y
