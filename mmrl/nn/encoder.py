"""The type of all modality encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class ModalityEncoder(nn.Module, ABC):
    """A network with a known number of output features.

    Attributes:
        features: Length of the feature vector.
    """

    features: int

    @abstractmethod
    def forward(self, x: Tensor) -> Float[Tensor, "batch features"]:
        """Features of inputs of shape (batch, *modality.shape)."""
