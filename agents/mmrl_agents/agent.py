"""A trained agent for a control loop: one observation in, one action out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from mmrl.checkpoint import CheckpointError, fingerprint
from mmrl.checkpoint import load as load_encoder
from mmrl.modality import AVAILABLE, NO_READING
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.belief.acting import BeliefPolicy
from mmrl_agents.belief.checkpoint import has_belief, load_belief_policy
from mmrl_agents.checkpoints import SavedPolicy, load_policy
from mmrl_agents.latent import check_channels
from mmrl_agents.monitor.monitor import SensorMonitor
from mmrl_envs.readings import reading
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics

POLICY = "policy.zip"
STATISTICS = "channels.npz"
"""Of the channels that a policy sees normalized."""


class Agent:
    """Acts on whichever sensors deliver.

    Args:
        acting: The policy, with its encoder if it has one.
        sensors: A space for each sensor.

    Example:
        A control loop::

            agent = Agent.load("outputs/latest")
            while True:
                action = agent.act({"image": camera.read(), "sound": microphone.read()})
    """

    def __init__(
        self,
        acting: LatentPolicy | ObservationPolicy | BeliefPolicy,
        sensors: Mapping[str, spaces.Space[Any]],
    ) -> None:
        self.acting = acting
        self.sensors = {name: space for name, space in sensors.items() if name != AVAILABLE}
        told = acting.memory.action_space
        self.action_space = acting.memory.policy.action_space if told is None else told
        self._first = True
        self._users: dict[str, int] = {}

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: torch.device | str = "cpu",
        *,
        monitor: bool = False,
        belief: bool = True,
    ) -> Agent:
        """Reads the agent of a run folder.

        Args:
            folder: Folder of a run whose policy is trained.
            device: Where encoder and policy run.
            monitor: Whether sensors that lie are noticed and left out, by the monitor that
                `python -m mmrl.monitor` fitted.
            belief: Whether the run's belief, where it has one, fills in for missing sensors.

        Raises:
            CheckpointError: There is no trained policy, or a file is damaged or does not fit; or
                no monitor, where one is asked for.
        """
        folder = Path(folder)
        if not (folder / POLICY).is_file():
            found = sorted(p.name for p in folder.glob("*")) if folder.is_dir() else []
            raise CheckpointError(
                f"no trained agent in {folder}: there should be {POLICY}, but there is "
                f"{', '.join(found) or 'nothing'}"
            )
        saved = load_policy(folder / POLICY, device, checkpoint=folder / "encoder.safetensors")
        if not isinstance(saved.sensors, spaces.Dict):
            raise CheckpointError(f"the policy in {folder} has no named sensors: {saved.sensors}")
        sensors = {n: space for n, space in saved.sensors.spaces.items() if n != AVAILABLE}
        acting = _unaided(folder, saved, device, monitor)
        if belief and has_belief(folder):
            return cls(load_belief_policy(folder, acting, sensors, device), sensors)
        return cls(acting, sensors)

    @property
    def monitor(self) -> SensorMonitor | None:
        """What notices sensors that lie, if it was asked for; its `report()` tells their scores."""
        acting = self.acting.sight.acting if isinstance(self.acting, BeliefPolicy) else self.acting
        return acting.latents.monitor if isinstance(acting, LatentPolicy) else None

    def reset(self) -> None:
        """Forgets the episode so far: the last latent, and the state of a recurrent policy."""
        self._first = True

    def act(self, observation: Mapping[str, ArrayLike | None], deterministic: bool = True) -> Any:
        """Chooses an action.

        Args:
            observation: Values by sensor, as the environment delivers them. A sensor that is
                absent or None is missing, or delivers NaN, infinity or numbers that none of its
                kind can measure; if only some of its numbers are such, an encoder does without
                these. So is one whose entry in `available` is 0, where the observation has that.
                With nothing left, the agent acts on what it last knew.
            deterministic: Whether the most likely action is taken, or one is drawn.

        Returns:
            The action: an array in the shape of the action space; where actions are discrete, a
            NumPy integer.

        Raises:
            ValueError: An unknown sensor, values of the wrong shape or range, or an `available`
                that holds anything else than 0 and 1.
            RuntimeError: Another thread is acting with this agent.
        """
        if unknown := sorted(set(observation) - set(self.sensors) - {AVAILABLE}):
            raise ValueError(f"unknown sensors {unknown}; the agent has {list(self.sensors)}")
        announced = self._announced(observation.get(AVAILABLE))
        batch: dict[str, NDArray[Any]] = {}
        available = np.zeros((1, len(self.sensors)), np.int8)
        for i, (name, space) in enumerate(self.sensors.items()):
            value = observation.get(name) if announced[i] else None
            delivered = _delivered(name, value, space, gaps=self.acting.fills_gaps)
            available[0, i] = delivered is not None
            nothing = np.zeros(space.shape or (), space.dtype)
            batch[name] = (nothing if delivered is None else delivered)[None]
        batch[AVAILABLE] = available
        with self._alone():
            first = np.array([self._first])
            self._first = False
            self.acting.memory.deterministic = deterministic
            return self.acting.act(batch, first)[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuses a second thread: each would remember the other's observations."""
        mine = threading.get_ident()
        if self._users.setdefault("thread", mine) != mine:
            raise RuntimeError(
                "two threads act with one agent at once, which would mix their observations: load "
                "an agent for each"
            )
        try:
            yield
        finally:
            self._users.clear()

    def _announced(self, mask: ArrayLike | None) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(len(self.sensors), np.bool_)
        announced = np.asarray(_array(mask))
        if announced.shape != (len(self.sensors),) or not np.isin(announced, (0, 1)).all():
            raise ValueError(
                f"{AVAILABLE} must have a 0 or 1 for each of {list(self.sensors)}, got {mask!r}"
            )
        return announced.astype(np.bool_)


def _unaided(
    folder: Path, saved: SavedPolicy, device: torch.device | str, monitor: bool
) -> LatentPolicy | ObservationPolicy:
    """The policy of a run folder as it acts without a belief."""
    if not saved.on_latents:
        statistics = _statistics(folder) if saved.config.normalize else None
        if monitor:
            raise CheckpointError(
                f"the agent in {folder} acts on observations: a monitor compares the "
                "representations of a frozen encoder, which it does not have"
            )
        return ObservationPolicy(
            saved.policy,
            statistics=statistics,
            layout=saved.layout,
            action_space=saved.action_space,
        )
    encoder = load_encoder(folder, device=device)
    try:
        check_channels(saved.sensors, encoder.modalities)
    except ValueError as error:
        raise CheckpointError(f"encoder and policy in {folder}: {error}") from error
    if saved.encoder_sha256 not in (None, fingerprint(encoder)):
        raise CheckpointError(
            f"the policy in {folder} was trained on the latents of another encoder than the "
            "one beside it: they are of different runs"
        )
    if saved.policy.observation_space.shape != (encoder.latent_dim,):
        raise CheckpointError(
            f"the encoder in {folder} has latents of size {encoder.latent_dim}, but its policy "
            f"acts on {saved.policy.observation_space}: they are of different runs"
        )
    watch = SensorMonitor.load(folder, encoder, saved.action_space) if monitor else None
    return LatentPolicy(
        encoder, saved.policy, device, monitor=watch, action_space=saved.action_space
    )


def _statistics(folder: Path) -> ChannelStatistics:
    try:
        return ChannelStatistics.load(folder / STATISTICS)
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(f"the policy needs statistics of its channels: {error}") from error


def _delivered(
    name: str, value: Any, space: spaces.Space[Any], *, gaps: bool
) -> NDArray[Any] | None:
    """The value in the type of its space; None where it is missing.

    Args:
        name: The sensor.
        value: What it delivers.
        space: What it should deliver.
        gaps: Whether some of its numbers may be missing.

    Raises:
        ValueError: A shape, or bytes, that the sensor cannot deliver.
    """
    array = reading(name, _array(value), space)
    if array is None or array.dtype.kind != "f":
        return array
    there = np.abs(array) < NO_READING
    return array if (there.any() if gaps else there.all()) else None


def _array(value: Any) -> Any:
    """Tensors, on whatever device and with whatever gradients, as arrays."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
