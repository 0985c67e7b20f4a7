"""Gathering across the ranks of a distributed run."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        # The loss is computed on every rank, so the gradients of a rank's own rows add up.
        (grad,) = grads
        total = grad.contiguous()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(local: Tensor) -> Tensor:
    """Rows of all ranks, in rank order, with gradients to every rank; without ranks, the input.

    A loss of the gathered rows, computed on every rank, gives after the averaging of gradients
    that distributed training does the same update as one process with the whole batch.

    Args:
        local: (batch, ...), the same shape on every rank.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return local
    gathered: Tensor = _AllGather.apply(local)  # type: ignore[no-untyped-call]
    return gathered
