"""A joint encoder over all modalities, each with an encoder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.modality import Modality
from mmrl.nn.encoders import build_encoder


class UnimodalEncoder(nn.Sequential):
    """Encoder of one modality and a linear map to the common dimension."""

    def __init__(self, modality: Modality, out: int, options: Mapping[str, Any] | None) -> None:
        encoder = build_encoder(modality, options)
        super().__init__(encoder, nn.Linear(encoder.features, out))


class JointEncoder(nn.Module):
    """Encoders side by side, concatenated, and a linear map to the common dimension.

    Args:
        modalities: What it sees.
        out: The common dimension.
        options: Encoder options by modality name, see `build_encoder`.
        sees_mask: Whether features of unavailable modalities are replaced by a learned vector, so
            that any subset can be encoded; without it, it wants complete observations.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        out: int,
        options: Mapping[str, Mapping[str, Any]],
        sees_mask: bool = False,
    ) -> None:
        super().__init__()
        self.names = tuple(m.name for m in modalities)
        encoders = {m.name: build_encoder(m, options.get(m.name)) for m in modalities}
        self.encoders = nn.ModuleDict(encoders)
        self.placeholders = (
            nn.ParameterDict(
                {n: nn.Parameter(torch.zeros(t.features)) for n, t in encoders.items()}
            )
            if sees_mask
            else None
        )
        self.fuse = nn.Linear(sum(t.features for t in encoders.values()), out)

    def features(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Encoder features by modality, in order."""
        return [self.encoders[name](inputs[name]) for name in self.names]

    def join(
        self,
        features: Sequence[Tensor],
        available: Bool[Tensor, "batch modalities"] | None = None,
    ) -> Float[Tensor, "batch out"]:
        """Fuses features; where a mask is given, placeholders stand in for what is missing."""
        if available is not None:
            assert self.placeholders is not None
            features = [
                torch.where(available[:, i : i + 1], feature, self.placeholders[name])
                for i, (name, feature) in enumerate(zip(self.names, features, strict=True))
            ]
        fused: Tensor = self.fuse(torch.cat(list(features), dim=1))
        return fused

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch out"]:
        """Joint features of complete observations."""
        return self.join(self.features(inputs))
