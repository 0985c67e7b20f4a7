"""Random subsets of modalities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def hide(
    available: Bool[Tensor, "batch modalities"], rate: float | Float[Tensor, "batch 1"]
) -> Bool[Tensor, "batch modalities"]:
    """Hides available modalities with probability `rate` each; at least one of a sample stays.

    Args:
        available: The mask.
        rate: In [0, 1), one for all samples or one for each.

    Example:
        >>> mask = torch.tensor([[True, False], [True, True]])
        >>> hide(mask, 0.9).any(dim=1).tolist()
        [True, True]
    """
    draw = torch.rand(available.shape, device=available.device).masked_fill(~available, -1.0)
    best = F.one_hot(draw.argmax(dim=1), available.shape[1]).bool() & available
    return (draw >= rate) & available | best
