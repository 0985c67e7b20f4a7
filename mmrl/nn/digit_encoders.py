"""The small convolutional networks that SMIL uses for written and spoken digits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmrl.nn.dropout import Dropout
from mmrl.nn.encoder import ModalityEncoder


class DigitImageEncoder(ModalityEncoder):
    """LeNet as SMIL has it: two 5x5 convolutions, 5 and 10 channels, maxima over 2x2, ReLU.

    Args:
        shape: (channels, height, width), sides of at least 16.
        dropout: Rate after the second convolution.

    Example:
        >>> DigitImageEncoder((1, 28, 28)).features
        160
    """

    def __init__(self, shape: Sequence[int], dropout: float = 0.5) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 16:
            raise ValueError(f"expected (channels, height, width) of at least 16, got {shape}")
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], 5, 5),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(5, 10, 5),
            Dropout(dropout),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        sides = [((side - 4) // 2 - 4) // 2 for side in shape[1:]]
        self.features = 10 * sides[0] * sides[1]

    def forward(self, x: Tensor) -> Tensor:
        """Features of images (batch, *shape)."""
        features: Tensor = self.layers(x)
        return features


class DigitSoundEncoder(ModalityEncoder):
    """SMIL's network for 20 cepstral coefficients over 20 frames: three 2x2 convolutions.

    Args:
        shape: (channels, coefficients, frames), sides of at least 5.
        dropout: Rate after the pooling.

    Example:
        >>> DigitSoundEncoder((1, 20, 20)).features
        320
    """

    def __init__(self, shape: Sequence[int], dropout: float = 0.25) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 5:
            raise ValueError(f"expected (channels, height, width) of at least 5, got {shape}")
        self.layers = nn.Sequential(
            *_normalised(nn.Conv2d(shape[0], 32, 2)),
            *_normalised(nn.Conv2d(32, 48, 2)),
            *_normalised(nn.Conv2d(48, 20, 2)),
            nn.MaxPool2d(2, stride=4),
            Dropout(dropout),
            nn.Flatten(),
        )
        sides = [(side - 3 - 2) // 4 + 1 for side in shape[1:]]
        self.features = 20 * sides[0] * sides[1]

    def forward(self, x: Tensor) -> Tensor:
        """Features of spectrograms (batch, *shape)."""
        features: Tensor = self.layers(x)
        return features


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]
