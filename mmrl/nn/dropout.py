"""Dropout whose masks cost little on processors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LEVELS = 1 << 16
"""Rates are rounded to multiples of 1 / LEVELS on processors."""


def check_rates(**rates: float) -> None:
    """Refuses rates with which nothing would be left.

    Args:
        rates: By the names of the settings.

    Raises:
        ValueError: A rate out of range.

    Example:
        >>> check_rates(dropout=1.5)
        Traceback (most recent call last):
        ValueError: dropout must be in [0, 1), got 1.5
    """
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be in [0, 1), got {rate}")


def dropout_mask(shape: torch.Size, rate: float | Tensor, like: Tensor) -> Tensor:
    """Zero with probability `rate`, else what keeps the mean at one.

    On a processor, torch draws a number per element, one after the other, and takes many times as
    long as for multiplying by the mask; here four elements share a random integer of 64 bits, of
    which each looks at 16.

    Args:
        shape: Shape of the mask.
        rate: In [0, 1); or several in a tensor that broadcasts to the shape.
        like: Has the mask's device and type.

    Example:
        >>> dropout_mask(torch.Size([2]), 0.0, torch.zeros(1))
        tensor([1., 1.])
    """
    if like.device.type != "cpu":
        kept = torch.rand(shape, device=like.device, dtype=like.dtype) >= rate
        return kept.to(like.dtype) / (1.0 - rate)
    drawn = torch.empty((shape.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = drawn.view(torch.int16)[: shape.numel()].view(shape)
    # A comparison that writes numbers: one that gives truth values is not vectorised.
    mask = torch.empty(shape, dtype=like.dtype)
    if isinstance(rate, Tensor):
        levels = (rate * LEVELS).round().clamp(max=LEVELS - 1)
        torch.ge(bits, (levels - LEVELS // 2).to(torch.int16), out=mask)
        return mask.mul_(LEVELS / (LEVELS - levels))
    level = min(round(rate * LEVELS), LEVELS - 1)
    torch.ge(bits, level - LEVELS // 2, out=mask)
    return mask.mul_(LEVELS / (LEVELS - level))


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """`torch.nn.functional.dropout`, faster on processors.

    Args:
        x: Anything.
        rate: Probability with which elements become zero.
        training: Whether they do.
    """
    if not training or not rate:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    return x * dropout_mask(x.shape, rate, x)


class Dropout(nn.Module):
    """`torch.nn.Dropout`, faster on processors.

    Args:
        rate: Probability with which elements become zero, in [0, 1).

    Raises:
        ValueError: A rate out of range.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        check_rates(rate=rate)
        self.rate = rate

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Drops elements in training."""
        return dropout(x, self.rate, self.training)
