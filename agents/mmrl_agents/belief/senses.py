"""What a belief gets of an observation: latents of some sensors, readings of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl.methods.method import Method
from mmrl.modality import AVAILABLE, Modality, mark_missing
from mmrl_agents.belief.sight import is_reading

MOST_LOOKED_AT = 6


class Senses:
    """Latents of sensors that are looked at through an encoder, readings of those that are read.

    Readings of up to 512 floating numbers are read as they are. All others are looked at: the
    encoder represents those of them that are there. Without an encoder they are not used. Where
    the policy acts on latents, every sensor is looked at.

    Args:
        sensors: A space for each sensor of the environment.
        encoder: Frozen, in evaluation mode; None: images are not used.
        on_latents: Whether the policy acts on latents.

    Raises:
        ValueError: More than six sensors are looked at.
    """

    def __init__(
        self,
        sensors: Mapping[str, spaces.Space[Any]],
        encoder: Method | None,
        on_latents: bool,
    ) -> None:
        self.names = tuple(sensors)
        self.encoder = encoder
        self.modalities: Sequence[Modality] = (
            Modality.from_space(spaces.Dict(dict(sensors)))
            if encoder is None
            else encoder.modalities
        )
        self.read = () if on_latents else tuple(n for n in sensors if is_reading(sensors[n]))
        others = [name for name in sensors if name not in self.read]
        self.looked_at = () if encoder is None else tuple(others)
        if len(self.looked_at) > MOST_LOOKED_AT:
            raise ValueError(
                f"a belief looks at up to {MOST_LOOKED_AT} sensors through the encoder, here it "
                f"would at {len(self.looked_at)}: {', '.join(self.looked_at)}; name the sensors "
                "of numbers that the policy sees in agent.sees, or set belief=none"
            )
        self._looked = np.array([name in self.looked_at for name in self.names])
        self.latent_dim = encoder.latent_dim if encoder is not None and self.looked_at else 0
        sizes = [int(np.prod(sensors[name].shape or ())) for name in self.read]
        self.size = sum(sizes)
        self._columns = np.repeat([self.names.index(n) for n in self.read], sizes).astype(np.int64)
        self._subsets = np.array(list(product([False, True], repeat=len(self.looked_at))), np.bool_)

    def clean(
        self, observations: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, NDArray[Any]], Bool[np.ndarray, "envs sensors"]]:
        """Values by sensor, zeros where missing, and which are there.

        A sensor that is read is missing where any of its numbers is NaN or infinite; for one that
        is looked at, the encoder may fill such gaps.
        """
        values = {name: torch.as_tensor(observations[name]) for name in self.names}
        mask = observations.get(AVAILABLE)
        told = None if mask is None else torch.as_tensor(mask).to(torch.bool)
        clean, available = mark_missing(values, told, self.modalities)
        there = available.numpy()
        arrays = {name: value.numpy() for name, value in clean.items()}
        for name in self.read:
            whole = np.isfinite(arrays[name]).reshape(len(there), -1).all(axis=1)
            there[:, self.names.index(name)] &= whole
            arrays[name] = np.where(
                whole.reshape(-1, *[1] * (arrays[name].ndim - 1)), arrays[name], 0
            ).astype(arrays[name].dtype)
        return arrays, there

    def latents(
        self, values: Mapping[str, NDArray[Any]], available: Bool[np.ndarray, "envs sensors"]
    ) -> Float[np.ndarray, "envs latent"]:
        """Of those sensors that are there and looked at; zero where there are none."""
        seen = available & self._looked
        if self.encoder is None or not seen.any():
            return np.zeros((len(available), self.latent_dim), np.float32)
        device = next(self.encoder.parameters()).device
        with torch.inference_mode():
            tensors = {name: torch.as_tensor(values[name], device=device) for name in self.names}
            latents = self.encoder.encode(tensors, torch.as_tensor(seen, device=device))
        return np.where(seen.any(axis=1)[:, None], latents.cpu().numpy(), 0.0).astype(np.float32)

    def every_latent(
        self, values: Mapping[str, NDArray[Any]]
    ) -> Float[np.ndarray, "envs subsets latent"]:
        """Of each subset of the sensors that are looked at, `subset` says in which order."""
        count = len(values[self.names[0]])
        latents = np.zeros((count, len(self._subsets), self.latent_dim), np.float32)
        for i, subset in enumerate(self._subsets[1:], start=1):
            available = np.zeros((count, len(self.names)), np.bool_)
            available[:, self._looked] = subset
            latents[:, i] = self.latents(values, available)
        return latents

    def subset(self, available: Bool[np.ndarray, "*lead sensors"]) -> NDArray[np.int64]:
        """The place in `every_latent` of what is there."""
        bits = 2 ** np.arange(len(self.looked_at))[::-1]
        return np.asarray((available[..., self._looked] * bits).sum(axis=-1), np.int64)

    def readings(self, values: Mapping[str, NDArray[Any]]) -> Float[np.ndarray, "envs readings"]:
        """The numbers of the sensors that are read, side by side."""
        count = len(values[self.names[0]])
        flat = [np.asarray(values[name], np.float32).reshape(count, -1) for name in self.read]
        return np.concatenate([np.zeros((count, 0), np.float32), *flat], axis=1)

    def readable(self, available: Bool[np.ndarray, "*lead sensors"]) -> NDArray[np.bool_]:
        """Which of the readings are there, (*lead, readings)."""
        return available[..., self._columns]
