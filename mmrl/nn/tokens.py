"""Features of any modality as a sequence of a given length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmrl.modality import Modality
from mmrl.nn.encoders import build_encoder

STEPS = 4
"""Length of the sequence that stands for an image or a vector, where nothing says otherwise."""


def common_steps(
    modalities: Sequence[Modality], kernel: int, options: Mapping[str, Any] | None = None
) -> int:
    """Length of the shortest sequence after a convolution without padding.

    Args:
        modalities: Those that are no sequences do not count.
        kernel: Kernel size of the convolution.
        options: Options of encoders by modality name: a sequence that has some is not convolved.

    Example:
        >>> common_steps([Modality("text", (50, 768), "sequence")], kernel=5)
        46
    """
    convolved = [m for m in modalities if m.kind == "sequence" and not (options or {}).get(m.name)]
    return min((m.shape[0] - kernel + 1 for m in convolved), default=STEPS)


def sequence_encoder(
    modality: Modality, width: int, steps: int, kernel: int, options: Mapping[str, Any] | None
) -> nn.Module:
    """A network from a modality's inputs to features (batch, width, steps).

    A sequence is convolved along its steps and pooled to the length. Anything else, and a sequence
    for whose encoder there are options, goes through its encoder and a linear map.

    Args:
        modality: Whose inputs.
        width: Features per step.
        steps: Length of the result.
        kernel: Kernel size of the convolution.
        options: Options of the encoder, see `mmrl.nn.encoders.build_encoder`.

    Raises:
        ValueError: A sequence is shorter than the kernel, or options that do not fit.
    """
    if modality.kind != "sequence" or options:
        encoder = build_encoder(modality, options)
        shape = nn.Unflatten(1, (width, steps))
        return nn.Sequential(encoder, nn.Linear(encoder.features, width * steps), shape)
    if len(modality.shape) != 2 or modality.shape[0] < kernel:
        raise ValueError(
            f"modality {modality.name!r}: a kernel of {kernel} does not fit shape {modality.shape}"
            f"; set a smaller one, an encoder's options (encoders.{modality.name}), or another kind"
        )
    return _Convolution(modality.input_shape[1], width, steps, kernel)


class _Convolution(nn.Module):
    def __init__(self, features: int, width: int, steps: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(features, width, kernel, bias=False)
        self.pool = nn.AdaptiveAvgPool1d(steps)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(self.convolution(x.transpose(1, 2)))
        return pooled
