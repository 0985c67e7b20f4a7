"""Directions that a layer's steps leave alone: recursive orthogonal projection."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def deflate(
    P: Float[Tensor, "width width"], h: Float[Tensor, " width"], alpha: float
) -> Float[Tensor, "width width"]:
    r"""Takes one more direction out of a projection, in place.

    :math:`P \leftarrow P - P h h^\top P / (\alpha + h^\top P h)`: the rank-one step of recursive
    least squares, which keeps P symmetric with eigenvalues in [0, 1].

    Zeng, Chen, Cui, Yu: "Continual learning of context-dependent processing in neural networks",
    2019, https://arxiv.org/abs/1810.01256 (OWM).

    Args:
        P: The projection so far.
        h: The direction.
        alpha: Above 0; the smaller, the more completely the direction is taken out.

    Returns:
        P itself.

    Example:
        >>> deflate(torch.eye(2), torch.tensor([3.0, 0.0]), alpha=1.0)
        tensor([[0.1000, 0.0000],
                [0.0000, 1.0000]])
    """
    k = P @ h
    return P.addr_(k, k, alpha=-1.0 / (alpha + float(h @ k)))


class GradientProjection(nn.Module):
    """Keeps a linear layer's steps away from the mean features of earlier ones.

    Args:
        width: Width of the layer's input.
        alpha: See `deflate`.

    Raises:
        ValueError: `alpha` is not positive.
    """

    P: Tensor
    last: Tensor

    def __init__(self, width: int, alpha: float) -> None:
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha}")
        self.alpha = alpha
        self.register_buffer("P", torch.eye(width))
        self.register_buffer("last", torch.zeros(width))

    def restart(self) -> None:
        """Forgets all directions but the last, which the next step is still to leave alone."""
        self.P.zero_().diagonal().fill_(1.0)

    @torch.no_grad()
    def project(
        self, step: Float[Tensor, "outputs width"], mean: Float[Tensor, " width"]
    ) -> Float[Tensor, "outputs width"]:
        """A step of the layer's weight without its part along the means of previous calls.

        Args:
            step: Step, or gradient, of the weight.
            mean: Mean of the layer's input, which the next calls will leave alone.
        """
        # Eq. 3-5: the direction is the mean of what was trained before, not of this batch.
        deflate(self.P, self.last, self.alpha)
        self.last.copy_(mean)
        return step @ self.P
