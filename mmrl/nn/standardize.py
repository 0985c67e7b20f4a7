"""Fixed scaling of raw observations, stored with the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mmrl.modality import Modality

MIN_STD = 1e-6
BYTE_MAX = 255.0


class Standardize(nn.Module):
    """Maps raw values to network inputs: bytes of images to [0, 1], others to standard scores.

    Numbers that happen to be stored as bytes, such as a quantised spectrogram, are numbers.

    The statistics are buffers, not parameters: the identity until `estimate` sees training data.
    What decides how well small readings are used is their scale: the amplitude of a distant sound
    source varies by hundredths of its range where the pendulum is upright.

    Args:
        modality: Whose values are scaled. Images are never centred: their pixels share one scale.
            Steps of a sequence have the same mean and scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.is_image = modality.kind == "image"
        self.is_fixed = modality.kind in ("image", "label")
        self.is_sequence = modality.kind == "sequence"
        self.shared_scale = modality.shared_scale
        shape = (1,) * len(modality.shape) if self.is_fixed else modality.shape
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def estimate(self, readings: Iterable[Tensor]) -> None:
        """Takes mean and standard deviation per feature over all readings.

        NaN and inf are left out; a feature that never varies keeps the scale 1.

        Args:
            readings: Raw values, some at a time: (samples, *modality.shape), or steps of sequences,
                (steps, *modality.shape[1:]).

        Raises:
            ValueError: Another shape.
        """
        if self.is_fixed:
            return
        count = 0
        mean, squares = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        shape = tuple(self.mean.shape)
        for raw in readings:
            if tuple(raw.shape[1:]) not in (shape, shape[1:]):
                raise ValueError(f"expected values of shape (samples, *{shape}), got {raw.shape}")
            part = raw.double()
            if self.is_sequence and part.dim() > len(shape):
                part = part.flatten(0, 1)
            part = part[torch.isfinite(part.reshape(len(part), -1)).all(1)]
            if not len(part):
                continue
            # Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm", 1979.
            variance, own = torch.var_mean(part, dim=0, correction=0)
            total, gap = count + len(part), own - mean
            squares = squares + variance * len(part) + gap.square() * (count * len(part) / total)
            mean = mean + gap * (len(part) / total)
            count = total
        if not count:
            return
        variance = squares / count
        std = (variance.mean() if self.shared_scale else variance).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > MIN_STD, std, torch.ones_like(std)))

    def forward(self, values: Tensor) -> Tensor:
        """Scales values of shape (batch, *modality.shape)."""
        if self.is_image and values.dtype == torch.uint8:
            values = values.to(self.mean.dtype) / BYTE_MAX
        return (values.to(self.mean.dtype) - self.mean) / self.std
