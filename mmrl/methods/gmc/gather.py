"""Gathering across the ranks of a distributed run."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gather(local: Tensor) -> Tensor:
    """Rows of all ranks, in rank order, with gradients to every rank; without ranks, the input.

    A loss of the gathered rows, computed on every rank, gives after the averaging of gradients
    that distributed training does the same update as one process with the whole batch.

    Args:
        local: (batch, ...), the same shape on every rank.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return local
    from torch.distributed.nn.functional import all_gather  # some builds of torch have none

    return torch.cat(all_gather(local.contiguous()))
