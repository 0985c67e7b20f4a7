"""What acts: a batch of observations in, actions out, whatever is behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from mmrl.methods.method import Method
from mmrl.modality import AVAILABLE
from mmrl_agents.actions import to_env
from mmrl_agents.extractor import EncoderExtractor
from mmrl_agents.latent import LatentMemory, Observation
from mmrl_agents.missing import zero_missing
from mmrl_agents.monitor.monitor import SensorMonitor
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics
from mmrl_envs.wrappers.normalize import CLIP, EPSILON


@runtime_checkable
class Acting(Protocol):
    """Anything that chooses actions for a batch of environments."""

    def act(self, observations: Observation, first: Bool[np.ndarray, " envs"]) -> NDArray[Any]:
        """Chooses an action for each environment.

        Args:
            observations: By channel, (envs, *shape) each, and `available` where sensors may fail.
            first: Which environments have just started an episode: what is remembered of the one
                before is forgotten.
        """
        ...


@runtime_checkable
class FillsGaps(Protocol):
    """What acts and may know what to do with readings of which some numbers are missing (NaN)."""

    @property
    def fills_gaps(self) -> bool:
        """Whether it does; others are to be told that the whole sensor is missing."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """What predicts as the models of Stable-Baselines3 do, recurrent ones included."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Chooses an action for each environment.

        Args:
            observation: Values by channel, (envs, *shape) each, and `available`, (envs, channels).
            state: What it returned the step before; None at first.
            episode_start: Which environments have just started an episode.
            deterministic: Whether the most likely action is taken.

        Returns:
            The actions, and a state for the next call or None.
        """
        ...


P = TypeVar("P", bound=Predicts)


class PolicyMemory(Generic[P]):
    """A policy with the hidden state that a recurrent one has.

    Args:
        policy: A model or policy of Stable-Baselines3, or whatever predicts like one.
        deterministic: Whether the most likely action is taken.
        action_space: Action space of the environment, where the policy chose from its
            `actions.policy_space`; None: actions are told as they are.
    """

    def __init__(
        self,
        policy: P,
        deterministic: bool,
        action_space: spaces.Space[Any] | None = None,
    ) -> None:
        self.policy = policy
        self.action_space = action_space
        self.deterministic = deterministic
        self.state: Any = None
        self.envs = 0

    def predict(self, observation: Any, first: NDArray[np.bool_]) -> NDArray[Any]:
        """Actions for a batch; `first` says where an episode has just started."""
        if len(first) != self.envs:
            self.state, self.envs = None, len(first)
        actions, self.state = self.policy.predict(
            observation, self.state, first, deterministic=self.deterministic
        )
        chosen = np.asarray(actions)
        return chosen if self.action_space is None else to_env(chosen, self.action_space)


class LatentPolicy:
    """A policy that was trained on the latents of a frozen encoder.

    Args:
        encoder: Put into evaluation mode and on `device`.
        policy: Policy of Stable-Baselines3.
        device: Where the encoder runs.
        deterministic: Whether the most likely action is taken.
        monitor: Decides which of the sensors that deliver are believed; None: all are.
        action_space: See `PolicyMemory`.
    """

    def __init__(
        self,
        encoder: Method,
        policy: BasePolicy | BaseAlgorithm,
        device: torch.device | str = "cpu",
        *,
        deterministic: bool = True,
        monitor: SensorMonitor | None = None,
        action_space: spaces.Space[Any] | None = None,
    ) -> None:
        self.latents = LatentMemory(encoder, device, monitor)
        self.memory: PolicyMemory[BasePolicy | BaseAlgorithm] = PolicyMemory(
            policy, deterministic, action_space
        )

    @property
    def fills_gaps(self) -> bool:
        """See `FillsGaps`: encoders do."""
        return True

    def act(self, observations: Observation, first: Bool[np.ndarray, " envs"]) -> NDArray[Any]:
        """See `Acting`; while nothing is available the last latent is held."""
        actions = self.memory.predict(self.latents.step(observations, first), first)
        if self.latents.monitor is not None:
            self.latents.monitor.acted(actions)
        return actions


class ObservationPolicy:
    """A policy that was trained on the sensors themselves.

    Channels that it was not trained with, `available` among them, are left out.

    Args:
        policy: Policy of Stable-Baselines3, on a Dict observation or, with `layout`, on a flat one.
        deterministic: Whether the most likely action is taken.
        statistics: Statistics of the channels that the policy saw normalized; what is missing stays
            zero.
        action_space: See `PolicyMemory`.
        layout: Places of each channel's numbers in a flat observation.

    Raises:
        TypeError: The policy was trained on something else than a Dict, and there is no layout; or
            the other way round.
    """

    def __init__(
        self,
        policy: BasePolicy | BaseAlgorithm,
        *,
        deterministic: bool = True,
        statistics: ChannelStatistics | None = None,
        action_space: spaces.Space[Any] | None = None,
        layout: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        space = policy.observation_space
        if layout is not None:
            self.spaces = split_space(space, layout)
        elif isinstance(space, spaces.Dict):
            self.spaces = dict(space.spaces)
        else:
            raise TypeError(
                f"expected a policy on Dicts, got {space}; one on the latents of an encoder is a "
                "LatentPolicy(encoder, policy)"
            )
        self.names = list(self.spaces)
        self.statistics = statistics
        self.memory: PolicyMemory[BasePolicy | BaseAlgorithm] = PolicyMemory(
            policy, deterministic, action_space
        )
        places = [place for part in (layout or {}).values() for place in part]
        self._order = None if layout is None else np.argsort(places).tolist()

    @property
    def fills_gaps(self) -> bool:
        """See `FillsGaps`: where the policy has an encoder in it."""
        policy = self.memory.policy
        policy = policy.policy if isinstance(policy, BaseAlgorithm) else policy
        return issubclass(policy.features_extractor_class, EncoderExtractor)

    def act(self, observations: Observation, first: Bool[np.ndarray, " envs"]) -> NDArray[Any]:
        """See `Acting`."""
        available = observations.get(AVAILABLE)
        if available is not None:
            columns = [name for name in observations if name != AVAILABLE]
            told = dict(zip(columns, available.T.astype(np.bool_), strict=True))
        else:
            told = {}
        seen = self.joined(self._channels(observations, told))
        return self.memory.predict(seen if self.fills_gaps else zero_missing(seen), first)

    def channels(
        self, values: Observation, available: Bool[np.ndarray, "envs sensors"]
    ) -> dict[str, NDArray[Any]]:
        """What the policy sees of each channel: normalized, and zero where it is missing.

        Args:
            values: By channel.
            available: Which of them are there.
        """
        return self._channels(values, dict(zip(values, available.T, strict=True)))

    def joined(self, channels: Mapping[str, Any]) -> Any:
        """Channels, arrays or tensors, in the form that the policy was trained on."""
        if self._order is None:
            return channels
        flat = [channels[name].reshape(len(channels[name]), -1) for name in self.names]
        joined = torch.cat(flat, 1) if isinstance(flat[0], torch.Tensor) else np.hstack(flat)
        return joined[:, self._order]

    def _channels(
        self, values: Observation, available: Mapping[str, NDArray[np.bool_]]
    ) -> dict[str, NDArray[Any]]:
        seen = {name: values[name] for name in self.names}
        if self.statistics is None:
            return seen
        for name in self.statistics.mean:
            seen[name] = self.statistics.normalize(name, seen[name], clip=CLIP, epsilon=EPSILON)
            if name in available:
                seen[name][~available[name]] = 0.0
        return seen


def split_space(space: spaces.Space[Any], layout: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The channels of a flat observation.

    Args:
        space: A Box of one axis.
        layout: Places of each channel's numbers in it.

    Raises:
        TypeError: It is something else.
        ValueError: The places are not those of the Box, each once.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise TypeError(f"a layout is of a flat observation, the policy sees {space}")
    if sorted(p for places in layout.values() for p in places) != list(range(space.shape[0])):
        raise ValueError(f"a layout must name each of the {space.shape[0]} places once: {layout}")
    return {
        name: spaces.Box(space.low[list(at)], space.high[list(at)], dtype=space.dtype.type)
        for name, at in layout.items()
    }
