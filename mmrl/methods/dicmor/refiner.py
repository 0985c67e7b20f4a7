"""Residual channel attention networks that clean up guessed sequences, side by side."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

MIN_HIDDEN = 4
"""Of the attention, in narrow networks: fewer rectified units may all be dead."""
KERNEL = 3


class ParallelRefiner(nn.Module):
    """Residual groups of channel-attention blocks, one network per group of channels.

    Zhang, Li, Li, Wang, Zhong, Fu: "Image Super-Resolution Using Very Deep Residual Channel
    Attention Networks", ECCV 2018, https://arxiv.org/abs/1807.02758, in one dimension, as DiCMoR
    has it: widened to twice the channels, refined, narrowed.

    Args:
        groups: How many networks.
        channels: Number of channels of each one's input and output.
        blocks: Number of blocks of each network; at least one.
        reduction: How much narrower the attention's hidden layer is.

    Raises:
        ValueError: No blocks.
    """

    def __init__(self, groups: int, channels: int, blocks: int = 20, reduction: int = 16) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"a refiner needs at least one block, got blocks={blocks}")
        wide, narrow = 2 * channels, max(MIN_HIDDEN, 2 * channels // reduction)
        # The weights of all blocks in one: those of some networks are taken out at once.
        self.widen = _Maps(1, groups, channels, wide)
        self.conv1 = _Maps(blocks, groups, KERNEL * wide, wide)
        self.conv2 = _Maps(blocks, groups, KERNEL * wide, wide)
        self.squeeze = _Maps(blocks, groups, wide, narrow)
        self.excite = _Maps(blocks, groups, narrow, wide)
        self.smooth = _Maps(1, groups, KERNEL * wide, wide)
        self.narrow = _Maps(1, groups, wide, channels)

    def forward(
        self,
        x: Float[Tensor, "chosen batch channels steps"],
        groups: Int[Tensor, " chosen"] | None = None,
    ) -> Float[Tensor, "chosen batch channels steps"]:
        """Refined sequences.

        Args:
            x: By group.
            groups: Which networks refine them; None: all, in order.
        """
        chosen, batch, channels, steps = x.shape
        (widen,), (smooth,), (narrow,) = (
            maps.of(groups) for maps in (self.widen, self.smooth, self.narrow)
        )
        start = _apply(widen, x.transpose(1, 2).flatten(2))
        y = start
        blocks = [m.of(groups) for m in (self.conv1, self.conv2, self.squeeze, self.excite)]
        for conv1, conv2, squeeze, excite in zip(*blocks, strict=True):
            z = _apply(conv1, _neighbours(y, steps)).relu_()
            z = _apply(conv2, _neighbours(z, steps)).unflatten(2, (batch, steps))
            attention = _apply(excite, _apply(squeeze, z.mean(dim=3)).relu_()).sigmoid()
            y = torch.addcmul(y, z.flatten(2), attention.repeat_interleave(steps, dim=2))
        refined = _apply(narrow, _apply(smooth, _neighbours(y, steps)) + start)
        return refined.view(chosen, channels, batch, steps).transpose(1, 2)


class _Maps(nn.Module):
    """Affine maps by block and group, started as torch starts a convolution."""

    def __init__(self, blocks: int, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(inputs)
        shape = (blocks, groups, outputs)
        self.weight = nn.Parameter(
            torch.empty(*shape, inputs).uniform_(-bound, bound).flatten(0, 1)
        )
        self.bias = nn.Parameter(torch.empty(*shape, 1).uniform_(-bound, bound).flatten(0, 1))
        self.blocks = blocks

    def of(self, groups: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of every block, of some groups."""
        parts = [p.unflatten(0, (self.blocks, -1)) for p in (self.weight, self.bias)]
        if groups is not None:
            parts = [p.index_select(1, groups) for p in parts]
        return list(zip(*(p.unbind() for p in parts), strict=True))


def _apply(map_: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    weight, bias = map_
    return torch.baddbmm(bias, weight, x)


def _neighbours(x: Float[Tensor, "groups channels positions"], steps: int) -> Tensor:
    """Each position with the one before and the one after, zeros beyond a sequence's ends."""
    padded = F.pad(x.unflatten(2, (-1, steps)), (1, 1))
    return torch.cat([padded[..., i : i + steps] for i in range(KERNEL)], dim=1).flatten(2)
