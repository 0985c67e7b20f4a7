"""Convolutions as one product with the patches of their input, where that is faster."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
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
    """`torch.nn.Conv2d` for inputs of few channels, as the first layer of a network has them.

    The result is the same, in the channels-last format. On processors torch's convolution of one or
    two channels is slow, and its derivatives of derivatives have gradients of the input, even where
    that is data and wants none.

    Args:
        channels: Number of channels of the input; each value is copied once per element of the
            kernel that sees it.
        out: Channels of the output.
        kernel: Side of the kernel.
        stride: Between its places.
        padding: Zeros on every side.
        bias: Whether there is one.

    Example:
        >>> PatchConv2d(1, 5, 3)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 5, 6, 6])
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__(channels, out, kernel, stride, padding, bias=bias)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out rows columns"]:
        """Convolves."""
        if x.device.type != "cpu":
            return super().forward(x)
        (side, _), (stride, _), (padding, _) = self.kernel_size, self.stride, _pair(self.padding)
        patches = F.pad(x, (padding,) * 4).unfold(2, side, stride).unfold(3, side, stride)
        batch, _, rows, columns = patches.shape[:4]
        # Elements of the kernel first: whole rows of the images are copied at once.
        flat = patches.permute(1, 4, 5, 0, 2, 3).reshape(
            self.weight[0].numel(), batch * rows * columns
        )
        weight = self.weight.flatten(1)
        if torch.is_autocast_enabled("cpu"):
            # Functions of one's own see to the precision of their backward pass themselves.
            lower = torch.get_autocast_dtype("cpu")
            weight, flat = weight.to(lower), flat.to(lower)
        y: Tensor = _Product.apply(weight, flat)  # type: ignore[no-untyped-call]
        y = y.view(self.out_channels, batch, rows, columns).transpose(0, 1)
        y = y.contiguous(memory_format=torch.channels_last)
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]


class RowConv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, without bias, whose kernel is as wide as its input: it moves down only.

    The result is the same, one column in the channels-last format.

    Args:
        channels: Number of channels of the input.
        out: Channels of the output.
        kernel: Rows of the kernel and its width, which is the input's.
        stride: In rows.
        padding: Rows of zeros above and below.

    Example:
        >>> RowConv2d(1, 5, (4, 7), stride=2, padding=1)(torch.zeros(2, 1, 8, 7)).shape
        torch.Size([2, 5, 4, 1])
    """

    def __init__(
        self, channels: int, out: int, kernel: tuple[int, int], stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(channels, out, kernel, (stride, 1), (padding, 0), bias=False)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out rows 1"]:
        """Convolves."""
        if x.device.type != "cpu":
            return super().forward(x)
        (height, _), (stride, _), (padding, _) = self.kernel_size, self.stride, _pair(self.padding)
        rows = F.pad(x.permute(0, 2, 3, 1).flatten(2), (0, 0, padding, padding))
        count = (rows.shape[1] - height) // stride + 1
        seen = [rows[:, i : i + stride * (count - 1) + 1 : stride] for i in range(height)]
        y = F.linear(torch.cat(seen, dim=2), self.weight.permute(0, 2, 3, 1).flatten(1))
        return y.transpose(1, 2)[..., None].to(memory_format=torch.channels_last)


def _pair(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)
    return padding
