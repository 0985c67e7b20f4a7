"""Modality encoders: from the input of one modality to a flat feature vector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrl.modality import Modality, has_channels_last
from mmrl.nn.digit_encoders import DigitImageEncoder, DigitSoundEncoder
from mmrl.nn.encoder import ModalityEncoder
from mmrl.nn.patches import RowConv2d

MAX_FEATURE_SIDE = 16
SMALL_VECTOR = 64


class ImageEncoder(ModalityEncoder):
    """Strided convolutions with swish, flattened.

    Each layer is Conv(4, stride 2, padding 1) without bias and halves the sides; the default takes
    two layers, 32 and 64 channels wide, as GMC's pendulum, and one more for every halving that
    still leaves a side above 16.

    Args:
        shape: (height, width), (channels, height, width) or (height, width, channels); the
            smallest outer axis is taken for the channels.
        channels: Output channels per layer; None for the default.

    Example:
        >>> ImageEncoder((2, 60, 60)).features
        14400
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int] | None = None) -> None:
        super().__init__()
        if len(shape) not in (2, 3):
            raise ValueError(f"an image has 2 or 3 axes, got shape {tuple(shape)}")
        sizes = (1, *shape) if len(shape) == 2 else tuple(shape)
        self.missing_axis = len(shape) == 2
        self.channels_last = has_channels_last(sizes)
        if self.channels_last:
            sizes = (sizes[2], sizes[0], sizes[1])
        channels = _image_channels(max(sizes[1:])) if channels is None else channels
        layers: list[nn.Module] = []
        depth = sizes[0]
        for width in channels:
            layers += [nn.Conv2d(depth, width, 4, stride=2, padding=1, bias=False), nn.SiLU()]
            depth = width
        self.layers = nn.Sequential(*layers, nn.Flatten())
        shrink = 2 ** len(channels)
        if min(sizes[1:]) < shrink:
            fit = max(1, min(sizes[1:]).bit_length() - 1)
            raise ValueError(
                f"{len(channels)} halvings do not fit an image of shape {tuple(shape)}: list up to "
                f"{fit} channels, such as channels={([32, 64] + [64] * fit)[:fit]}, or take it for "
                "another kind, such as vector (env.kinds)"
            )
        self.features = depth * (sizes[1] // shrink) * (sizes[2] // shrink)

    def forward(self, x: Tensor) -> Tensor:
        """Features of images (batch, *shape)."""
        if self.missing_axis:
            x = x.unsqueeze(1)
        elif self.channels_last:
            x = x.movedim(-1, 1)
        features: Tensor = self.layers(x)
        return features


def _image_channels(side: int) -> tuple[int, ...]:
    channels, side = [32, 64], side // 4
    while side > MAX_FEATURE_SIDE:
        channels, side = [*channels, 64], side // 2
    return tuple(channels)


class SoundEncoder(ModalityEncoder):
    """Convolutions over a spectrogram: GMC's sound network on MHD.

    Conv(1 x width) spans all of the last axis, two Conv(4 x 1, stride 2 x 1) halve the other; all
    with batch normalisation and ReLU.

    Args:
        shape: (channels, steps, bands).
        channels: Output channels of the three layers.

    Example:
        >>> SoundEncoder((1, 32, 128)).features
        2048
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int] = (128, 128, 256)) -> None:
        super().__init__()
        if len(shape) != 3 or len(channels) != 3 or shape[1] < 4:
            raise ValueError(
                f"a spectrogram is (channels, steps >= 4, bands) with three layers, got {shape}, "
                f"{channels}"
            )
        first, second, third = channels
        self.layers = nn.Sequential(
            RowConv2d(shape[0], first, (1, shape[2])),
            _BatchNorm2d(first),
            nn.ReLU(),
            RowConv2d(first, second, (4, 1), stride=2, padding=1),
            _BatchNorm2d(second),
            nn.ReLU(),
            RowConv2d(second, third, (4, 1), stride=2, padding=1),
            _BatchNorm2d(third),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.features = third * (shape[1] // 4)

    def forward(self, x: Tensor) -> Tensor:
        """Features of spectrograms (batch, channels, steps, bands)."""
        features: Tensor = self.layers(x)
        return features


class _BatchNorm2d(nn.BatchNorm2d):
    """Normalises as in evaluation where there is one value per channel, which has no variance.

    A batch may hold a single sample that has the sound.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.numel() > x.shape[1]:
            return super().forward(x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class VectorEncoder(ModalityEncoder):
    """A multilayer perceptron with swish after every layer, on flattened values.

    Args:
        shape: Any shape; it is flattened.
        hidden: Widths; by default GMC's two: 50-50 for readings of up to 64 numbers (the
            pendulum's sound), 512-512 for longer ones (MHD's trajectories).

    Example:
        >>> VectorEncoder((2, 3, 2)).features
        50
    """

    def __init__(self, shape: Sequence[int], hidden: Sequence[int] | None = None) -> None:
        super().__init__()
        size = int(torch.Size(shape).numel())
        if hidden is None:
            hidden = (50, 50) if size <= SMALL_VECTOR else (512, 512)
        layers: list[nn.Module] = [nn.Flatten()]
        for width in hidden:
            layers += [nn.Linear(size, width), nn.SiLU()]
            size = width
        self.layers = nn.Sequential(*layers)
        self.features = size

    def forward(self, x: Tensor) -> Tensor:
        """Features of values (batch, *shape)."""
        features: Tensor = self.layers(x)
        return features


class SequenceEncoder(ModalityEncoder):
    """A gated recurrent network whose states at all steps are flattened (GMC on MOSI/MOSEI).

    Args:
        shape: (steps, features).
        hidden: Width of the state.

    Example:
        >>> SequenceEncoder((50, 300)).features
        1500
    """

    def __init__(self, shape: Sequence[int], hidden: int = 30) -> None:
        super().__init__()
        if len(shape) != 2:
            raise ValueError(f"a sequence is (steps, features), got shape {tuple(shape)}")
        self.recurrent = nn.GRU(shape[1], hidden, batch_first=True)
        self.features = shape[0] * hidden

    def forward(self, x: Tensor) -> Tensor:
        """Features of sequences (batch, steps, features)."""
        states, _ = self.recurrent(x)
        return torch.flatten(states, 1)


class LabelEncoder(ModalityEncoder):
    """The label itself: what follows is a linear map of it (GMC on MHD).

    Args:
        shape: (classes,).
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.features = int(torch.Size(shape).numel())

    def forward(self, x: Tensor) -> Tensor:
        """Flattened labels."""
        return torch.flatten(x, 1)


ENCODERS: dict[str, Callable[..., ModalityEncoder]] = {
    "image": ImageEncoder,
    "sound": SoundEncoder,
    "sequence": SequenceEncoder,
    "vector": VectorEncoder,
    "label": LabelEncoder,
    "digit_image": DigitImageEncoder,
    "digit_sound": DigitSoundEncoder,
}


def build_encoder(modality: Modality, options: Mapping[str, Any] | None = None) -> ModalityEncoder:
    """The encoder for a modality.

    Args:
        modality: Its kind chooses the network, its shape the input.
        options: Keyword arguments of that network; `kind` chooses another one than the modality's.

    Raises:
        ValueError: Unknown kind or option, or a shape that the network cannot take.
    """
    settings = dict(options or {})
    kind = settings.pop("kind", modality.kind)
    if kind not in ENCODERS:
        raise ValueError(f"{modality.name}: unknown encoder {kind!r}; known: {sorted(ENCODERS)}")
    known = set(inspect.signature(ENCODERS[kind]).parameters) - {"shape"}
    if unknown := sorted(set(settings) - known):
        raise ValueError(
            f"{modality.name}: the {kind} encoder has no option {unknown}; known: {sorted(known)}"
        )
    try:
        return ENCODERS[kind](modality.input_shape, **settings)
    except ValueError as error:
        raise ValueError(f"modality {modality.name!r}: {error}") from error
