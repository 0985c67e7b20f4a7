"""Residual channel attention networks that clean up guessed sequences, side by side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

MIN_HIDDEN = 4
"""Of the attention, in narrow networks: fewer rectified units may all be dead."""


class ParallelRefiner(nn.Module):
    """Residual groups of channel-attention blocks, one network per group of channels.

    Zhang, Li, Li, Wang, Zhong, Fu: "Image Super-Resolution Using Very Deep Residual Channel
    Attention Networks", ECCV 2018, https://arxiv.org/abs/1807.02758, in one dimension, as DiCMoR
    has it: widened to twice the channels, refined, narrowed.

    Args:
        groups: How many networks.
        channels: Of each one's input and output.
        blocks: Of each network.
        reduction: How much narrower the attention's hidden layer is.
    """

    def __init__(self, groups: int, channels: int, blocks: int = 20, reduction: int = 16) -> None:
        super().__init__()
        wide = 2 * channels
        self.groups = groups
        self.widen = nn.Conv1d(groups * channels, groups * wide, 1, groups=groups)
        self.blocks = nn.ModuleList(_Block(groups, wide, reduction) for _ in range(blocks))
        self.smooth = nn.Conv1d(groups * wide, groups * wide, 3, padding=1, groups=groups)
        self.narrow = nn.Conv1d(groups * wide, groups * channels, 1, groups=groups)

    def forward(
        self, x: Float[Tensor, "groups batch channels steps"]
    ) -> Float[Tensor, "groups batch channels steps"]:
        """Refined sequences."""
        groups, batch, channels, steps = x.shape
        start = self.widen(x.transpose(0, 1).reshape(batch, groups * channels, steps))
        y = start
        for block in self.blocks:
            y = block(y)
        refined: Tensor = self.narrow(self.smooth(y) + start)
        return refined.view(batch, groups, channels, steps).transpose(0, 1)


class _Block(nn.Module):
    """Two convolutions, whose result is weighted by channel and added."""

    def __init__(self, groups: int, channels: int, reduction: int) -> None:
        super().__init__()
        wide, narrow = groups * channels, groups * max(MIN_HIDDEN, channels // reduction)
        self.conv1 = nn.Conv1d(wide, wide, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv1d(wide, wide, 3, padding=1, groups=groups)
        self.squeeze = nn.Conv1d(wide, narrow, 1, groups=groups)
        self.excite = nn.Conv1d(narrow, wide, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        attention = self.excite(F.relu(self.squeeze(y.mean(dim=2, keepdim=True))))
        return torch.addcmul(x, y, attention.sigmoid())
