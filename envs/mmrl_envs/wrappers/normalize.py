"""`NormalizeChannels`: channels with mean 0 and variance 1, by running statistics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mmrl_envs.validation import check_number
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics
from mmrl_envs.wrappers.channels import (
    Channels,
    Observation,
    channel_space,
    check_known,
    dict_channels,
)
from mmrl_envs.wrappers.conform import conform
from mmrl_envs.wrappers.stacked import Stacked

Path = str | os.PathLike[str]

CLIP, EPSILON = 10.0, 1e-8
"""Largest absolute value that comes out, and what is added to the variance."""


class _Normalizer:
    """What the single and the vector wrapper share: which channels, and how."""

    def __init__(
        self,
        space: spaces.Space[Any],
        channels: Sequence[str] | None,
        statistics: Path | None,
        update: bool,
        clip: float,
        epsilon: float,
    ) -> None:
        check_number("clip", clip, above=0.0)
        check_number("epsilon", epsilon, above=0.0)
        existing = dict_channels(space, "NormalizeChannels")
        self.names = _chosen(existing, channels)
        self.clip, self.epsilon, self.update = clip, epsilon, update
        shapes = {name: existing[name].shape or () for name in self.names}
        self.statistics = _statistics(shapes, statistics, update)
        for name in self.names:
            existing[name] = _normalized(existing[name], clip)
        self.space = channel_space(existing)

    def see(self, batch: Mapping[str, NDArray[Any]]) -> None:
        if self.update:
            self.statistics.update(batch)

    def normalize(self, observation: Mapping[str, NDArray[Any]]) -> Observation:
        normalized = dict(observation)
        for name in self.names:
            normalized[name] = self.statistics.normalize(
                name, observation[name], clip=self.clip, epsilon=self.epsilon
            )
        return normalized


class NormalizeChannels(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Shifts and scales each entry of a channel to mean 0 and variance 1, as float32.

    The statistics run along with training and see only real values: this wrapper refuses to be
    put around failing sensors, and values with NaN or infinity are not seen; they come out as NaN.
    For evaluation, save the statistics with the run and freeze them:

        env.statistics.save("run/channels.npz")
        evaluated = NormalizeChannels(other, statistics="run/channels.npz", update=False)

    Each environment has its own statistics; :class:`VectorNormalizeChannels` shares them.

    Args:
        env: The environment, with a Dict observation.
        channels: Which channels; None takes all floating ones. Leave out the goals of a
            goal-conditioned environment if rewards are computed again from them.
        statistics: A file to begin with.
        update: Whether to go on seeing; also an attribute, to be changed at any time.
        clip: Largest absolute value that comes out, positive.
        epsilon: Added to the variance, positive.

    Attributes:
        statistics: The :class:`~mmrl_envs.wrappers.channel_statistics.ChannelStatistics`.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The observation is no Dict.
        ValueError: A channel does not exist or is not floating, the file does not fit, there is
            nothing to evaluate with, a number is out of range, or sensors have failed already.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        channels: Sequence[str] | None = None,
        *,
        statistics: Path | None = None,
        update: bool = True,
        clip: float = CLIP,
        epsilon: float = EPSILON,
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            channels=channels,
            statistics=None if statistics is None else os.fspath(statistics),
            update=update,
            clip=clip,
            epsilon=epsilon,
        )
        super().__init__(env)
        self._normalizer = _Normalizer(
            env.observation_space, channels, statistics, update, clip, epsilon
        )
        self.observation_space = self._normalizer.space

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The specification; as long as statistics run, seeds do not determine observations."""
        spec = super().spec
        if spec is not None and self.update:
            spec.nondeterministic = True
        return spec

    @property
    def statistics(self) -> ChannelStatistics:
        """What has been seen."""
        return self._normalizer.statistics

    @property
    def update(self) -> bool:
        """Whether observations are still seen."""
        return self._normalizer.update

    @update.setter
    def update(self, value: bool) -> None:
        self._normalizer.update = value

    def observation(self, observation: Any) -> Observation:
        """See an observation, unless frozen, and return it normalized."""
        observation = conform(observation, self.env.observation_space)
        names = self._normalizer.names
        self._normalizer.see({name: np.asarray(observation[name])[None] for name in names})
        return self._normalizer.normalize(observation)


class VectorNormalizeChannels(VectorWrapper[Any, Any, Any, Any, Any]):
    """The same for vector environments, with one statistic of all sub-environments.

    Last observations in `infos["final_obs"]` are seen and normalized too.

    Args:
        env: The vector environment, with a Dict observation.
        channels: See :class:`NormalizeChannels`, as all others.
        statistics: A file to begin with.
        update: Whether to go on seeing.
        clip: Largest absolute value that comes out.
        epsilon: Added to the variance.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The observation is no Dict.
        ValueError: See :class:`NormalizeChannels`.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        channels: Sequence[str] | None = None,
        *,
        statistics: Path | None = None,
        update: bool = True,
        clip: float = CLIP,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(env)
        self._normalizer = _Normalizer(
            env.single_observation_space, channels, statistics, update, clip, epsilon
        )
        self.single_observation_space = self._normalizer.space
        self.observation_space = batch_space(self._normalizer.space, env.num_envs)

    @property
    def statistics(self) -> ChannelStatistics:
        """What has been seen."""
        return self._normalizer.statistics

    @property
    def update(self) -> bool:
        """Whether observations are still seen."""
        return self._normalizer.update

    @update.setter
    def update(self, value: bool) -> None:
        self._normalizer.update = value

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the sub-environments; see :class:`NormalizeChannels`."""
        observation, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        mask = None if options is None else options.get("reset_mask")
        chosen = slice(None) if mask is None else mask
        self._normalizer.see({name: values[chosen] for name, values in observation.items()})
        return self._normalizer.normalize(observation), infos

    def step(self, actions: Any) -> tuple[Observation, Any, Any, Any, dict[str, Any]]:
        """Step the sub-environments; see :class:`NormalizeChannels`."""
        observation, rewards, terminated, truncated, infos = self.env.step(actions)
        self._normalizer.see(observation)
        if "final_obs" in infos:
            infos = {**infos, "final_obs": self._final(infos["final_obs"], infos["_final_obs"])}
        normalized = self._normalizer.normalize(observation)
        return normalized, rewards, terminated, truncated, infos

    def _final(self, observations: Any, present: Any) -> Any:
        normalized = np.full(len(observations), None, dtype=object)
        for index in np.flatnonzero(present):
            last = observations[index]
            self._normalizer.see({name: np.asarray(v)[None] for name, v in last.items()})
            normalized[index] = self._normalizer.normalize(last)
        return normalized


def _normalized(space: spaces.Space[Any], clip: float) -> spaces.Space[Any]:
    """Return the space of what comes out; frames stay frames."""
    box = spaces.Box(-clip, clip, space.shape or (), np.float32)
    if not isinstance(space, Stacked):
        return box
    return Stacked(box.low, box.high, np.float32, frames=space.frames, axis=space.axis)


def _chosen(existing: Channels, channels: Sequence[str] | None) -> list[str]:
    floating = [
        name
        for name, space in existing.items()
        if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    ]
    if channels is None:
        return floating
    check_known(channels, existing, "NormalizeChannels")
    if other := sorted(set(channels) - set(floating)):
        raise ValueError(
            f"NormalizeChannels normalizes floating Boxes, got {other}: {existing[other[0]]}; "
            f"floating are {floating}"
        )
    return sorted(set(channels))


def _statistics(
    shapes: Mapping[str, tuple[int, ...]], path: Path | None, update: bool
) -> ChannelStatistics:
    if path is None:
        if not update:
            raise ValueError("update=False needs statistics: the file which a run has saved")
        return ChannelStatistics(shapes)
    statistics = ChannelStatistics.load(path)
    found = {name: mean.shape for name, mean in statistics.mean.items()}
    if found != dict(shapes):
        raise ValueError(
            f"the statistics in {os.fspath(path)} are of {found}, the channels are {dict(shapes)}"
        )
    return statistics
