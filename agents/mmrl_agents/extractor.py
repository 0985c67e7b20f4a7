"""An encoder inside a Stable-Baselines3 policy, to be fine-tuned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TensorDict
from torch import Tensor, nn

from mmrl.checkpoint import load
from mmrl.modality import AVAILABLE, Modality
from mmrl_agents.latent import check_channels

BYTE_MAX = 255.0


class EncoderExtractor(BaseFeaturesExtractor):
    """Represents Dict observations with an encoder that the policy's losses may fine-tune.

    Where a policy has several networks (actor, critics, targets), each makes its own copy from the
    checkpoint, so that targets lag; and no module is pickled into the model's file. The encoder
    always runs in evaluation mode, fine-tuned or not: dropout and batch statistics would let old
    and new log-probabilities of PPO differ before any update. With nothing available the features
    are zeros: a policy's network has no memory of the last latent, which `LatentVecEnv` has.

    Args:
        observation_space: Dict of the encoder's channels and perhaps `available`.
        checkpoint: Path of the encoder (see `mmrl.checkpoint.load`).
        freeze: Whether its weights stay as they are. `LatentVecEnv` does that far cheaper.
        normalized: Whether images arrive divided by 255, as they do unless the policy has
            `normalize_images=False`.

    Raises:
        TypeError: The observation space is no Dict.
        ValueError: The encoder cannot be loaded or does not fit the observation.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        checkpoint: str,
        freeze: bool = False,
        normalized: bool = True,
    ) -> None:
        encoder = load(checkpoint)
        turned = _turned(observation_space, encoder.modalities)
        check_channels(_turn_back(observation_space, turned), encoder.modalities)
        assert isinstance(observation_space, spaces.Dict)
        super().__init__(observation_space, encoder.latent_dim)
        self._turned = turned
        self.freeze = freeze
        self.encoder = encoder
        if freeze:
            _freeze(encoder)
        channels = {m.name: observation_space[m.name] for m in encoder.modalities}
        self._bytes = {name for name, space in channels.items() if space.dtype == np.uint8}
        self._divided = {
            name for name in self._bytes if normalized and is_image_space(channels[name])
        }

    def forward(self, observations: TensorDict) -> Float[Tensor, "batch latent"]:
        """Features of a batch, as Stable-Baselines3 has preprocessed it."""
        mask = observations.get(AVAILABLE)
        available = None if mask is None else mask > 0.5
        values = {m.name: self._raw(m.name, observations[m.name]) for m in self.encoder.modalities}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            latent = self.encoder.encode(values, available)
        # As if nothing were available, which a value that is not finite tells nobody.
        known = latent.isfinite().all(dim=1, keepdim=True)
        return torch.where(known, latent, torch.zeros_like(latent))

    def train(self, mode: bool = True) -> EncoderExtractor:
        """Keeps the encoder in evaluation mode, whatever the policy does."""
        super().train(mode)
        self.encoder.eval()
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> EncoderExtractor:
        """Does nothing: PPO and A2C initialise their networks with it, pretrained ones too."""
        return self

    def _raw(self, name: str, value: Tensor) -> Tensor:
        """The channel in the units of the environment; Stable-Baselines3 hands over floats."""
        if name in self._turned:
            value = value.permute(0, 2, 3, 1)
        if name not in self._bytes:
            return value
        if name in self._divided:
            value = value * BYTE_MAX
            if value.numel() and float(value.detach().max()) > BYTE_MAX + 0.5:
                raise ValueError(
                    f"channel {name!r} was not divided by 255: give the extractor normalized=False "
                    "where the policy has normalize_images=False"
                )
        return value.round().to(torch.uint8)


def _freeze(module: nn.Module) -> None:
    """Makes buffers of all parameters: as parameters of a target network they would drift.

    Stable-Baselines3 sets those to (1 - tau) x + tau x after each step, which is x up to rounding.
    """
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())


def _turned(space: spaces.Space[Any], modalities: tuple[Modality, ...]) -> set[str]:
    """Images that Stable-Baselines3 has put channels first, while the encoder has them last."""
    if not isinstance(space, spaces.Dict):
        return set()
    return {
        m.name
        for m in modalities
        if m.kind == "image"
        and len(m.shape) == 3
        and m.name in space.spaces
        and space[m.name].shape == (m.shape[2], *m.shape[:2]) != m.shape
    }


def _turn_back(space: spaces.Space[Any], names: set[str]) -> spaces.Space[Any]:
    if not isinstance(space, spaces.Dict) or not names:
        return space
    restored = dict(space.spaces)
    for name in names:
        channels, height, width = space[name].shape or ()
        restored[name] = spaces.Box(0, 255, (height, width, channels), np.uint8)
    return spaces.Dict(list(restored.items()))  # a mapping would be sorted
