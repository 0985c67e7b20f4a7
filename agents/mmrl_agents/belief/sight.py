"""What a policy sees, as one vector of numbers that a belief can fill in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl_agents.acting import LatentPolicy, ObservationPolicy

LATENT = "latent"
MOST_NUMBERS = 512
"""A sensor of more numbers than that is no reading that could be estimated one by one."""


@dataclass(frozen=True)
class Part:
    """A piece of what a policy sees.

    Args:
        name: Name of the sensor that delivers it, or `latent`.
        shape: As the policy gets it.
        needs: Sensors that must be there for it to be known.
    """

    name: str
    shape: tuple[int, ...]
    needs: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of numbers."""
        return math.prod(self.shape)


class Sight:
    """What a policy sees of an observation: its numbers side by side.

    Args:
        acting: The policy as it acts without a belief.
        sensors: Names of the environment's sensors, in the order of `available`.

    Attributes:
        parts: The pieces that are numbers.
        fills: Whether the policy sees nothing else, so that it can act on estimates; images cannot
            be estimated.
    """

    def __init__(self, acting: LatentPolicy | ObservationPolicy, sensors: Sequence[str]) -> None:
        self.sensors = tuple(sensors)
        self.acting = acting
        if isinstance(acting, LatentPolicy):
            shape = acting.memory.policy.observation_space.shape or ()
            self.parts: tuple[Part, ...] = (Part(LATENT, shape, self.sensors),)
            self.fills, needs = True, set(self.sensors)
        else:
            self.parts = tuple(
                Part(name, acting.spaces[name].shape or (), (name,))
                for name in acting.names
                if is_reading(acting.spaces[name])
            )
            self.fills, needs = len(self.parts) == len(acting.names), set(acting.names)
        stops = np.cumsum([part.size for part in self.parts], dtype=np.int64).tolist()
        self.slices = {
            part.name: slice(stop - part.size, stop)
            for part, stop in zip(self.parts, stops, strict=True)
        }
        self.size: int = stops[-1] if stops else 0
        self._unneeded = np.array([sensor not in needs for sensor in self.sensors])
        self._owners = [[s not in part.needs for s in self.sensors] for part in self.parts]

    @property
    def on_latents(self) -> bool:
        """Whether the policy sees latents of an encoder."""
        return isinstance(self.acting, LatentPolicy)

    def numbers(
        self,
        values: Mapping[str, NDArray[Any]],
        available: Bool[np.ndarray, "envs sensors"],
        latents: Float[np.ndarray, "envs latent"],
    ) -> Float[np.ndarray, "envs numbers"]:
        """The numbers as the policy sees them without a belief; arbitrary where unknown.

        Args:
            values: Clean readings by sensor.
            available: Which of them are there.
            latents: Latents of what is there.
        """
        if isinstance(self.acting, LatentPolicy):
            return latents
        seen = self.acting.channels(values, available)
        flat = [seen[part.name].reshape(len(available), -1) for part in self.parts]
        empty = np.zeros((len(available), 0), np.float32)
        return np.concatenate([empty, *flat], axis=1).astype(np.float32)

    def known(self, available: Bool[np.ndarray, "*lead sensors"]) -> NDArray[np.bool_]:
        """Which numbers are known, (*lead, numbers), given which sensors are there."""
        parts = [(available | owners).all(axis=-1) for owners in map(np.array, self._owners)]
        columns = [
            np.repeat(k[..., None], p.size, -1) for k, p in zip(parts, self.parts, strict=True)
        ]
        return np.concatenate([np.zeros((*available.shape[:-1], 0), np.bool_), *columns], axis=-1)

    def complete(self, available: Bool[np.ndarray, "*lead sensors"]) -> NDArray[np.bool_]:
        """Where every sensor that the policy needs is there, (*lead)."""
        return np.asarray((available | self._unneeded).all(axis=-1))

    def assemble(self, numbers: Any) -> Any:
        """Numbers, an array or a tensor (envs, numbers), in the form that the policy takes."""
        if isinstance(self.acting, LatentPolicy):
            return numbers
        return self.acting.joined(
            {p.name: numbers[:, self.slices[p.name]].reshape(-1, *p.shape) for p in self.parts}
        )

    def policy_input(
        self,
        values: Mapping[str, NDArray[Any]],
        available: Bool[np.ndarray, "envs sensors"],
        numbers: Float[np.ndarray, "envs numbers"],
    ) -> Any:
        """What the policy is given: the numbers, and images as they are."""
        if isinstance(self.acting, LatentPolicy) or self.fills:
            return self.assemble(numbers)
        return self.acting.joined(self.acting.channels(values, available))


def is_reading(space: spaces.Space[Any]) -> bool:
    """Whether a sensor delivers numbers that can be estimated one by one."""
    floating = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    return floating and math.prod(space.shape or ()) <= MOST_NUMBERS
