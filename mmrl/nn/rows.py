"""Running a network on those rows of a batch that have something to show."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor


def on_rows(
    network: Callable[[Tensor], Tensor], x: Tensor, rows: Bool[Tensor, " batch"], *features: int
) -> Tensor:
    """What a network gives for some rows of a batch, and zeros for the others.

    Rows that are left out enter no batch statistics and get no gradient.

    Args:
        network: From (rows, ...) to (rows, *features).
        x: (batch, ...).
        rows: Which ones the network sees.
        features: Width of what it gives, or all its axes but the first.

    Returns:
        (batch, *features).

    Example:
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> on_rows(torch.exp, x, torch.tensor([False, True]), 1)
        tensor([[0.0000],
                [7.3891]])
    """
    chosen = rows.nonzero().squeeze(1)
    if len(chosen) == len(x):
        return network(x)
    if not len(chosen):
        return torch.zeros(len(x), *features, device=x.device, dtype=x.dtype)
    y = network(x[chosen])
    return y.new_zeros(len(x), *features).index_copy(0, chosen, y)
