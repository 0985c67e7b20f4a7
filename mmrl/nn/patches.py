"""A convolution of inputs with few channels, as one product with their patches."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

FEW = 16
"""Output channels below which products have them as rows, for speed."""


class _Product(torch.autograd.Function):
    """weight @ flat, whose derivatives of any order are products of the fast layouts."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, flat: Tensor) -> Tensor:
        ctx.save_for_backward(weight, flat)
        return weight @ flat if len(weight) < FEW else (flat.T @ weight.T).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        weight, flat = ctx.saved_tensors
        (gradient,) = gradients
        to_flat = weight.T @ gradient if ctx.needs_input_grad[1] else None
        return _Correlation.apply(gradient, flat), to_flat  # type: ignore[no-untyped-call]


class _Correlation(torch.autograd.Function):
    """rows @ flat.T, likewise."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, flat: Tensor) -> Tensor:
        ctx.save_for_backward(rows, flat)
        return rows @ flat.T if len(rows) < FEW else (flat @ rows.T).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        rows, flat = ctx.saved_tensors
        (gradient,) = gradients
        to_flat = gradient.T @ rows if ctx.needs_input_grad[1] else None
        return _Product.apply(gradient, flat), to_flat  # type: ignore[no-untyped-call]


class PatchConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with stride one and no padding, for the first layer of a small network.

    The result is the same, in the channels-last format. Derivatives of derivatives are cheaper:
    torch's convolution computes, on the way back through its backward pass, gradients of its input
    even where the input, as data, wants none.

    Args:
        channels: Of the input, few: each value is copied once per element of the kernel.
        out: Channels of the output.
        kernel: Side of the kernel.

    Example:
        >>> PatchConv2d(1, 5, 3)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 5, 6, 6])
    """

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__(channels, out, kernel)
        self.side = kernel

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out rows columns"]:
        """Convolves."""
        patches = x.unfold(2, self.side, 1).unfold(3, self.side, 1)
        batch, _, rows, columns = patches.shape[:4]
        # Elements of the kernel first: whole rows of the images are copied at once.
        flat = patches.permute(1, 4, 5, 0, 2, 3).reshape(-1, batch * rows * columns)
        weight = self.weight.flatten(1)
        device = x.device.type
        if torch.is_autocast_enabled(device):
            # Functions of one's own see to the precision of their backward pass themselves.
            lower = torch.get_autocast_dtype(device)
            weight, flat = weight.to(lower), flat.to(lower)
        y: Tensor = _Product.apply(weight, flat)  # type: ignore[no-untyped-call]
        y = y.view(-1, batch, rows, columns).transpose(0, 1)
        assert self.bias is not None
        return y.contiguous(memory_format=torch.channels_last) + self.bias[:, None, None]
