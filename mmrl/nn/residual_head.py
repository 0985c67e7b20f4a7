"""The head that predicts from a representation: one residual layer and a linear map."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ResidualHead(nn.Module):
    """Adds two layers of the input to the input, and maps the sum (MulT, supervised GMC).

    Args:
        width: Of the input.
        outputs: Of the output.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.residual1 = nn.Linear(width, width)
        self.residual2 = nn.Linear(width, width)
        self.out = nn.Linear(width, outputs)

    def forward(self, z: Float[Tensor, "batch width"]) -> Float[Tensor, "batch outputs"]:
        """The prediction."""
        y: Tensor = self.out(z + self.residual2(F.relu(self.residual1(z))))
        return y
