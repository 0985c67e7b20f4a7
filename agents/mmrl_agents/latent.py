"""Latents instead of observations: encoding at the environment's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from mmrl.checkpoint import load
from mmrl.methods.method import Method
from mmrl.modality import AVAILABLE, Modality, mark_missing, zero_missing
from mmrl_agents.monitor.monitor import SensorMonitor

Observation = Mapping[str, NDArray[Any]]


class LatentMemory:
    """Encodes observations, and repeats the last latent while every sensor is missing.

    A policy that loses everything acts on what it last knew; before an episode's first reading
    that is the zero vector.

    Args:
        encoder: Put into evaluation mode and on `device`.
        device: Where it runs.
        monitor: Decides which of the sensors that deliver are believed; it has to be told the
            actions. None: all are.
    """

    def __init__(
        self,
        encoder: Method,
        device: torch.device | str = "cpu",
        monitor: SensorMonitor | None = None,
    ) -> None:
        self.encoder = encoder.to(device).eval()
        self.device = torch.device(device)
        self.monitor = monitor
        self.last: NDArray[np.float32] = np.zeros((0, encoder.latent_dim), np.float32)

    def step(
        self, observations: Observation, first: Bool[np.ndarray, " envs"]
    ) -> Float[np.ndarray, "envs latent"]:
        """Represents the current observation of each environment.

        Args:
            observations: Raw values by channel, (envs, *shape) each, and perhaps `available`.
            first: Which environments have just started an episode.
        """
        if len(self.last) != len(first):
            self.last = np.zeros((len(first), self.encoder.latent_dim), np.float32)
        values, available = self.read(observations)
        if self.monitor is not None:
            available = self.monitor.look(values, available, first)
        latents, known = self._encode(values, available)
        return self._remember(latents, known, first)

    def step_and_end(
        self,
        observations: Observation,
        ended: Bool[np.ndarray, " envs"],
        final_observations: Sequence[Observation],
    ) -> tuple[Float[np.ndarray, "envs latent"], Float[np.ndarray, "ended latent"]]:
        """`step` where some episodes have ended and started anew; one call of the encoder.

        In an episode's last observation a monitor believes what it believed the step before.

        Args:
            observations: Observations of each environment, the first of its new episode where one
                ended.
            ended: In which environments an episode ended.
            final_observations: The last observation of each episode that ended, in order.

        Returns:
            Latents of the observations, and of the final observations.
        """
        rows = {
            name: np.concatenate([values, np.stack([final[name] for final in final_observations])])
            for name, values in observations.items()
        }
        values, available = self.read(rows)
        count = len(ended)
        if self.monitor is not None:
            believed = self.monitor.believed[ended]
            present = {name: value[:count] for name, value in values.items()}
            looked = self.monitor.look(present, available[:count], ended)
            available = np.concatenate([looked, available[count:] & believed])
        latents, known = self._encode(values, available)
        final = np.where(known[count:, None], latents[count:], self.last[ended])
        return self._remember(latents[:count], known[:count], ended), final

    def read(
        self, observations: Observation
    ) -> tuple[dict[str, torch.Tensor], Bool[np.ndarray, "rows channels"]]:
        """Clean values, and which of them are there."""
        values = {
            name: torch.as_tensor(np.ascontiguousarray(array), device=self.device)
            for name, array in observations.items()
        }
        mask = values.pop(AVAILABLE, None)
        mask = None if mask is None else mask.to(torch.bool)
        clean, available = mark_missing(values, mask, self.encoder.modalities)
        return clean, available.cpu().numpy()

    def _encode(
        self, values: Mapping[str, torch.Tensor], available: Bool[np.ndarray, "rows channels"]
    ) -> tuple[Float[np.ndarray, "rows latent"], Bool[np.ndarray, " rows"]]:
        """Latents, and of which rows anything was known."""
        with torch.inference_mode():
            mask = torch.as_tensor(available, device=self.device)
            if self.monitor is not None:  # it may believe less than what was read
                values = zero_missing(values, mask)
            latents = self.encoder.encode_marked(values, mask).cpu().numpy()
        # A latent that is not finite says nothing, and would stay in memory for ever.
        return latents, available.any(axis=1) & np.isfinite(latents).all(axis=1)

    def _remember(
        self, latents: NDArray[np.float32], known: NDArray[np.bool_], first: NDArray[np.bool_]
    ) -> Float[np.ndarray, "envs latent"]:
        self.last[first] = 0.0
        self.last = np.where(known[:, None], latents, self.last)
        return self.last.copy()


class LatentVecEnv(VecEnvWrapper):
    """Any `VecEnv` with a Dict observation, seen through a frozen encoder.

    All environments, and the last observations of episodes that end, are encoded in one call;
    what is stored and replayed are latents. NaN and inf in a channel, and a False in `available`,
    mean missing; while nothing is available the environment's last latent is held.

    Args:
        venv: Its Dict observation has the encoder's channels, and perhaps `available`.
        encoder: Put into evaluation mode, never trained here; or where it was saved, such as the
            folder of a run, which is what files of settings can name.
        device: Where the encoder runs.
        monitor: Decides which sensors are believed; `info["monitor"]` reports its scores.

    Raises:
        TypeError: The observation space is no Dict.
        ValueError: Channels and modalities differ in name or shape, or no encoder is there.
    """

    def __init__(
        self,
        venv: VecEnv,
        encoder: Method | Path | str,
        device: torch.device | str = "cpu",
        monitor: SensorMonitor | None = None,
    ) -> None:
        encoder = encoder if isinstance(encoder, Method) else load(encoder)
        check_channels(venv.observation_space, encoder.modalities)
        space = spaces.Box(-np.inf, np.inf, (encoder.latent_dim,), np.float32)
        super().__init__(venv, observation_space=space)
        self.memory = LatentMemory(encoder, device, monitor)

    def reset(self) -> VecEnvObs:
        """Starts an episode everywhere."""
        return self.memory.step(_channels(self.venv.reset()), np.ones(self.num_envs, np.bool_))

    def step_async(self, actions: NDArray[Any]) -> None:
        """Acts, and tells the monitor."""
        if self.memory.monitor is not None:
            self.memory.monitor.acted(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Latents in place of observations, `terminal_observation` included."""
        observations, rewards, dones, infos = self.venv.step_wait()
        infos = list(infos)  # SubprocVecEnv has a tuple
        ended = dones.astype(np.bool_)
        if not ended.any():
            latents = self.memory.step(_channels(observations), ended)
            self._report(infos)
            return latents, rewards, dones, infos
        indices = np.flatnonzero(ended)
        finals = [_channels(infos[i]["terminal_observation"]) for i in indices]
        latents, final_latents = self.memory.step_and_end(_channels(observations), ended, finals)
        for i, latent in zip(indices, final_latents, strict=True):
            infos[i]["terminal_observation"] = latent
        self._report(infos)
        return latents, rewards, dones, infos

    def _report(self, infos: list[dict[str, Any]]) -> None:
        if self.memory.monitor is not None:
            for i, info in enumerate(infos):
                info["monitor"] = self.memory.monitor.report(i)


def check_channels(space: spaces.Space[Any], modalities: Sequence[Modality]) -> None:
    """Whether an observation space has exactly the channels that an encoder was trained on.

    A sensor that the environment does not have is not silently taken for one that is missing.

    Raises:
        TypeError: The space is no Dict.
        ValueError: Names or shapes differ.
    """
    if not isinstance(space, spaces.Dict):
        raise TypeError(f"an encoder needs a Dict observation with a key per sensor, got {space}")
    found = {name: channel.shape for name, channel in space.items() if name != AVAILABLE}
    expected = {modality.name: modality.shape for modality in modalities}
    problems = [f"no channel {name!r}" for name in expected if name not in found]
    problems += [f"channel {name!r} is unknown to it" for name in found if name not in expected]
    problems += [
        f"channel {name!r} has shape {found[name]} instead of {expected[name]}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    if AVAILABLE in space.spaces and space[AVAILABLE].shape != (len(expected),):
        problems.append(f"{AVAILABLE!r} has shape {space[AVAILABLE].shape}")
    elif AVAILABLE in space.spaces and not problems and list(found) != list(expected):
        problems.append(f"the channels come in the order {list(found)}")
    if problems:
        raise ValueError(
            f"the observation does not fit the encoder of {expected}: {'; '.join(problems)}"
        )


def _channels(observations: VecEnvObs) -> dict[str, NDArray[Any]]:
    assert isinstance(observations, dict)
    return observations
