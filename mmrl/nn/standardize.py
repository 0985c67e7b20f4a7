"""Fixed scaling of raw observations, stored with the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mmrl.modality import Modality

BYTE_MAX = 255.0
NO_BOUND = torch.finfo(torch.float32).max
CLIP = 10.0
FLOAT32_HOLDS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16)


class Standardize(nn.Module):
    """Maps raw values to network inputs: bytes of images to [0, 1], others to standard scores.

    Numbers that happen to be stored as bytes, such as a quantised spectrogram, are numbers. NaN
    stands for a number that is missing: it becomes 0, the mean of the training data.

    The statistics are buffers, not parameters: the identity until `estimate` sees training data.
    What decides how well small readings are used is their scale: the amplitude of a distant sound
    source varies by hundredths of its range where the pendulum is upright.

    Args:
        modality: Whose values are scaled. Bytes of images are never centred; pixels of other types,
            such as depth in millimetres, share one mean and one scale. Steps of a sequence have the
            same mean and scale.
        clip: Standard deviations from the mean at which scores are cut off; None: nowhere. What
            hardly moved in training may move later, and would arrive as thousands.

    Raises:
        ValueError: `clip` is not positive.
    """

    mean: Tensor
    rest: Tensor
    std: Tensor
    bound: Tensor

    def __init__(self, modality: Modality, clip: float | None = CLIP) -> None:
        super().__init__()
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be positive, or null for none, got {clip}")
        self.clip = clip
        self.is_image = modality.kind == "image"
        self.is_fixed = modality.kind == "label"
        self.is_sequence = modality.kind == "sequence"
        self.shared_scale = modality.shared_scale
        self.indicates = modality.partial == "indicate"
        self.channel_axis = modality.channel_axis
        share = modality.kind in ("image", "label")
        shape = (1,) * len(modality.shape) if share else modality.shape
        self.register_buffer("mean", torch.zeros(shape))
        # What of the mean a float32 cannot hold: large offsets, such as those of map coordinates.
        self.register_buffer("rest", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))
        self.register_buffer("bound", torch.tensor(NO_BOUND))

    def estimate(self, readings: Iterable[Tensor]) -> None:
        """Takes mean and standard deviation per feature over all readings.

        NaN and inf are left out, number by number. A feature that varies by no more than the
        rounding of its type keeps the scale 1.

        Args:
            readings: Raw values, some at a time: (samples, *modality.shape), or steps of sequences,
                (steps, *modality.shape[1:]).

        Raises:
            ValueError: Another shape.
        """
        if self.is_fixed:
            return
        count = mean = squares = torch.zeros((), dtype=torch.float64)
        shape, rounding = tuple(self.mean.shape), 0.0
        for raw in readings:
            if self.is_image:
                if raw.dtype == torch.uint8:
                    return
                raw = raw.reshape(-1, *shape)
            if tuple(raw.shape[1:]) not in (shape, shape[1:]):
                raise ValueError(f"expected values of shape (samples, *{shape}), got {raw.shape}")
            part = raw.double()
            if self.is_sequence and part.dim() > len(shape):
                part = part.flatten(0, 1)
            if raw.is_floating_point():
                rounding = max(rounding, torch.finfo(raw.dtype).eps)
            # Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm", 1979.
            there = part.isfinite()
            own_count = there.sum(dim=0)
            own = part.nan_to_num(0.0, 0.0, 0.0).sum(dim=0) / own_count.clamp(min=1)
            own_squares = torch.where(there, part - own, 0.0).square().sum(dim=0)
            total = count + own_count
            share = own_count / total.clamp(min=1)
            squares = squares + own_squares + (own - mean).square() * count * share
            mean = mean + (own - mean) * share
            count = total
        if not bool((count > 0).any()):
            return
        variance = torch.where(count > 0, squares / count.clamp(min=1), torch.nan)
        std = (variance.nanmean() if self.shared_scale else variance).sqrt()
        varies = std > rounding * mean.abs()
        self.mean.copy_(mean)
        self.rest.copy_(mean - self.mean.cpu())
        self.std.copy_(torch.where(varies, std, torch.ones_like(mean)))
        if self.clip is not None:
            self.bound.fill_(self.clip)

    def forward(self, values: Tensor) -> Tensor:
        """Scales values of shape (batch, *modality.shape) to (batch, *modality.input_shape)."""
        if self.is_image and values.dtype == torch.uint8:
            scores = values.to(self.mean.dtype) / BYTE_MAX
        elif self.is_fixed:
            scores = values.to(self.mean.dtype)
        else:
            # In the type of the values, which may have more digits than networks see.
            centred = _floating(values) - self.mean - self.rest
            scores = (centred / self.std).to(self.std.dtype)
        there = scores.isfinite()
        scores = torch.where(there, scores, torch.zeros_like(scores))
        if not self.is_fixed:
            scores = scores.clamp(-self.bound, self.bound)
        return self._with_indicators(scores, there) if self.indicates else scores

    def _with_indicators(self, scores: Tensor, there: Tensor) -> Tensor:
        flags = there.to(scores.dtype)
        if self.channel_axis is None:
            return torch.stack([scores, flags], dim=1)
        axis = self.channel_axis if self.channel_axis < 0 else self.channel_axis + 1
        return torch.cat([scores, flags], dim=axis)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Files of earlier releases have neither, and act as they did."""
        for name in ("rest", "bound"):
            state.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state, prefix, *others)


def _floating(values: Tensor) -> Tensor:
    """Integers in a type that holds them; there is no float64 on Apple's graphics processors."""
    if values.is_floating_point():
        return values
    exact = values.dtype in FLOAT32_HOLDS or values.device.type == "mps"
    return values.to(torch.float32 if exact else torch.float64)
