"""Notices sensors that lie: from their representations alone, with a chosen rate of false alarms.

That two sensors disagree does not tell which of them lies. What tells is time: from the sensors
that one trusts and the action it can be foretold what every sensor should say next, and a fault
has a signature (a reading that scatters, is stuck, or shows the past; none shows the future).
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from torch import Tensor

from mmrl.checkpoint import CheckpointError, fingerprint, read_description
from mmrl.files import FileError, brief, read_bytes, write_atomically, yaml_text
from mmrl.methods.method import Method
from mmrl.weights import MOST, load_safetensors, no_larger_than
from mmrl_agents.monitor.dynamics import LatentDynamics, Recording, action_dim, action_features
from mmrl_agents.monitor.evidence import (
    MOST_CHANNELS,
    Beliefs,
    Predicted,
    Residuals,
    StepEvidence,
    hypotheses,
)

FORMAT = "mmrl-monitor"
VERSION = 1
NAME = "monitor"

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MonitorConfig:
    """Settings of a monitor.

    Args:
        false_alarm_rate: Share of fault-free steps at which a sensor is disbelieved, for each
            sensor, in (0, 1); an episode's first step, at which nothing is decided, not counted.
        uptime: Steps for which a sensor is expected to tell the truth, on average.
        outage: Steps for which it is expected to lie.
        memory: How many steps late a reading may be that is recognised as such.
        hidden: Width of the network that predicts the next representation.
        steps: Optimisation steps of that network.
        samples: Fault-free observations that it learns from, half of them under the policy alone,
            half with a growing share of random actions.
        calibration: Fault-free observations under the policy from which thresholds are taken.
    """

    false_alarm_rate: float = 0.01
    uptime: float = 200.0
    outage: float = 20.0
    memory: int = 10
    hidden: int = 128
    steps: int = 10_000
    samples: int = 40_000
    calibration: int = 15_000

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 1:
            raise ValueError(
                f"false_alarm_rate must lie between 0 and 1, got {self.false_alarm_rate}"
            )
        for name in ("memory", "hidden", "steps", "samples", "calibration"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("uptime", "outage"):
            if not getattr(self, name) > 1:
                raise ValueError(f"{name} must be more than 1 step, got {getattr(self, name)}")
        if self.calibration < 1 / self.false_alarm_rate:
            raise ValueError(
                f"a false_alarm_rate of {self.false_alarm_rate} needs a calibration on at least "
                f"{math.ceil(1 / self.false_alarm_rate)} observations, got {self.calibration}"
            )


@dataclass
class _Past:
    """What a batch of environments is remembered by."""

    latents: Floats
    available: Bools
    action: Floats | None = None
    predictions: deque[Predicted] = field(default_factory=deque)


class SensorMonitor:
    """Decides at every step which sensors are believed.

    Every non-empty set of sensors is a hypothesis: those in it tell the truth, the others lie.
    Under a hypothesis its sensors' latents lie near what is predicted from their latents of the
    step before and the action (a Student-t density of residuals, fitted to fault-free data); the
    latent of a sensor outside lies near its own last one (stuck), near what the trusted ones said
    some steps ago (late), or anywhere. A hidden Markov model adds the evidence up. The score of a
    sensor is the logarithm of the odds that it lies; one above its threshold is disbelieved. The
    most plausible of the sensors that deliver is always believed.

    It works on batches of environments: call `look` with every observation and `acted` with every
    action.

    Args:
        encoder: Represents each sensor on its own; in evaluation mode.
        action_space: Action space of one environment.
        config: See `MonitorConfig`.

    Raises:
        ValueError: The encoder sees one sensor only, or more than can be told apart.

    Attributes:
        silent: Whether it only scores: `look` returns every sensor that delivers.
        scores: Log-odds that each sensor lies, (envs, channels), of the last `look`.
        believed: Which sensors were believed at the last `look`, (envs, channels).
        thresholds: Scores above which a sensor is disbelieved; infinite until `fit`.
    """

    def __init__(
        self, encoder: Method, action_space: spaces.Space[Any], config: MonitorConfig | None = None
    ) -> None:
        count = len(encoder.modalities)
        if not 2 <= count <= MOST_CHANNELS:
            raise ValueError(
                f"a monitor compares 2 to {MOST_CHANNELS} sensors, the encoder has {count}: "
                f"{', '.join(encoder.names)}"
            )
        self.encoder, self.action_space = encoder, action_space
        self.config = config or MonitorConfig()
        self.silent = False
        self.names = encoder.names
        shape = (count, encoder.latent_dim)
        self.dynamics = LatentDynamics(*shape, action_dim(action_space), self.config.hidden).eval()
        self.beliefs = Beliefs(count, self.config.uptime, self.config.outage)
        self._sets = hypotheses(count)
        sizes = (len(self._sets), math.prod(shape))
        eye = np.broadcast_to(np.eye(sizes[1]), (*sizes, sizes[1]))
        self.residuals = Residuals(np.zeros((len(self._sets), *shape)), eye.copy())
        self.thresholds: Floats = np.full(count, np.inf)
        self.scores: Floats = np.zeros((0, count))
        self.believed: Bools = np.zeros((0, count), np.bool_)
        self._past = _Past(np.zeros((0, *shape)), np.zeros((0, count), np.bool_))

    def look(
        self,
        values: Mapping[str, Tensor],
        available: Bool[np.ndarray, "envs channels"],
        first: Bool[np.ndarray, " envs"],
    ) -> Bool[np.ndarray, "envs channels"]:
        """Takes in an observation of every environment.

        Args:
            values: Clean raw values by sensor, on the encoder's device.
            available: Which sensors deliver.
            first: Which environments have just started an episode.

        Returns:
            Which sensors deliver and are believed; one at least where any delivers.
        """
        return self.judge(self.represent(values), available, first)

    @torch.inference_mode()
    def represent(self, values: Mapping[str, Tensor]) -> Float[np.ndarray, "envs channels latent"]:
        """Each sensor's own latent."""
        own = [self.encoder.encode({name: values[name]}) for name in self.names]
        return torch.stack(own, dim=1).double().cpu().numpy()

    def judge(
        self,
        latents: Float[np.ndarray, "envs channels latent"],
        available: Bool[np.ndarray, "envs channels"],
        first: Bool[np.ndarray, " envs"],
    ) -> Bool[np.ndarray, "envs channels"]:
        """`look` where the latents are known already."""
        past = self._past
        if len(past.latents) != len(first):
            past = _Past(latents, np.zeros_like(available))
            first = np.ones_like(first)
        self.beliefs.start(first)
        for predicted in past.predictions:
            predicted.known[first] = False
        compared = available & past.available & ~first[:, None]
        if past.action is None:
            compared = np.zeros_like(compared)
        if compared.any():
            self.beliefs.update(self._evidence(latents, compared, past))
        else:
            past.predictions.clear()
        self.scores = self.beliefs.scores()
        self._past = _Past(latents, available, None, past.predictions)
        self.believed = self._decide(available, compared.any(axis=1))
        return available.copy() if self.silent else available & self.believed

    def acted(self, actions: NDArray[Any]) -> None:
        """Takes in what is done after the last observation."""
        self._past.action = action_features(self.action_space, actions)

    def reset(self) -> None:
        """Forgets everything but what was learnt."""
        self._past = _Past(self._past.latents[:0], self._past.available[:0])

    def report(self, env: int = 0) -> dict[str, dict[str, float | bool]]:
        """Score, and whether it is believed, of every sensor of an environment."""
        return {
            name: {"score": float(self.scores[env, i]), "believed": bool(self.believed[env, i])}
            for i, name in enumerate(self.names)
        }

    def fit(self, recording: Recording, calibration: Recording, seed: int) -> None:
        """Learns what is normal, and takes the thresholds from other fault-free data.

        A threshold is the smallest score that keeps the false alarms on the calibration data at the
        chosen rate, counted as in split conformal prediction.

        Args:
            recording: What the prediction and its residuals are learnt from.
            calibration: Episodes of the policy that is to be watched over.
            seed: Seed of the network's weights and batches.

        Raises:
            ValueError: Too few steps for the chosen rate.
        """
        self.dynamics.fit(recording, self._sets, steps=self.config.steps, seed=seed)
        inside = ~recording.first[1:]
        now, action, then = (
            values[inside]
            for values in (recording.latents[:-1], recording.actions[:-1], recording.latents[1:])
        )
        residuals = [
            (then[rows, None] - mean) * np.exp(-log_std)
            for rows in np.array_split(np.arange(len(now)), 1 + len(now) // 4096)
            for mean, log_std in [self._predict(now[rows], action[rows], self._sets[None])]
        ]
        self.residuals = Residuals.estimate(np.concatenate(residuals))
        self.thresholds = np.full(len(self.names), np.inf)
        healthy = self.replay(calibration)[~calibration.first]
        rank = math.ceil((len(healthy) + 1) * (1 - self.config.false_alarm_rate))
        if rank > len(healthy):
            raise ValueError(
                f"{len(healthy)} steps are too few to calibrate a false_alarm_rate of "
                f"{self.config.false_alarm_rate}"
            )
        self.thresholds = np.sort(healthy, axis=0)[rank - 1]

    def replay(self, recording: Recording) -> Float[np.ndarray, "steps envs channels"]:
        """Scores at every step of what was recorded; nothing is remembered afterwards."""
        self.reset()
        available = np.ones(recording.latents.shape[1:3], np.bool_)
        scores = []
        for latents, actions, first in zip(
            recording.latents, recording.actions, recording.first, strict=True
        ):
            self.judge(latents, available, first)
            scores.append(self.scores)
            self._past.action = actions
        self.reset()
        return np.stack(scores)

    def save(self, folder: Path | str) -> None:
        """Writes `monitor.safetensors` and its description `monitor.yaml`."""
        tensors = {f"dynamics.{k}": v.contiguous() for k, v in self.dynamics.state_dict().items()}
        tensors["residuals.mean"] = torch.from_numpy(self.residuals.mean)
        tensors["residuals.covariance"] = torch.from_numpy(self.residuals.covariance)
        tensors["thresholds"] = torch.from_numpy(self.thresholds)
        content = save_tensors(tensors)
        description = {
            "format": FORMAT,
            "version": VERSION,
            "channels": list(self.names),
            "actions": self.dynamics.action_dim,
            "config": asdict(self.config),
            "encoder_sha256": fingerprint(self.encoder),
            "weights_sha256": hashlib.sha256(content).hexdigest(),
        }
        write_atomically(Path(folder) / f"{NAME}.safetensors", content)
        write_atomically(Path(folder) / f"{NAME}.yaml", yaml_text(description).encode())

    @classmethod
    def load(
        cls, folder: Path | str, encoder: Method, action_space: spaces.Space[Any]
    ) -> SensorMonitor:
        """Reads what `save` wrote.

        Args:
            folder: Where it was saved.
            encoder: The encoder that the monitor was fitted to.
            action_space: Action space of one environment.

        Raises:
            CheckpointError: A file is missing, damaged or foreign, or belongs to another encoder.
        """
        path = Path(folder) / f"{NAME}.yaml"
        description = _read_description(path)
        if description["encoder_sha256"] != fingerprint(encoder):
            raise CheckpointError(f"{path} is of a monitor that was fitted to another encoder")
        file = path.with_suffix(".safetensors")
        try:
            content = read_bytes(file, MOST)
        except (OSError, FileError) as error:
            raise CheckpointError(f"cannot read {file}: {brief(error)}") from error
        if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
            raise CheckpointError(f"{file} is damaged or belongs to another {path.name}")
        try:
            tensors = load_safetensors(content)
            with no_larger_than(tensors.values()):
                monitor = cls(encoder, action_space, MonitorConfig(**description["config"]))
            monitor._fill(tensors)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {brief(error)}"
            raise CheckpointError(f"{path} does not describe a monitor ({what})") from error
        return monitor

    def _fill(self, tensors: dict[str, Tensor]) -> None:
        mean = tensors.pop("residuals.mean").numpy()
        covariance = tensors.pop("residuals.covariance").numpy()
        thresholds = tensors.pop("thresholds").numpy()
        shapes = (self.residuals.mean.shape, self.residuals.covariance.shape, self.thresholds.shape)
        if (mean.shape, covariance.shape, thresholds.shape) != shapes:
            raise ValueError(f"shapes {mean.shape}, {covariance.shape} instead of {shapes}")
        self.dynamics.load_state_dict({k.partition(".")[2]: v for k, v in tensors.items()})
        self.residuals, self.thresholds = Residuals(mean, covariance), thresholds

    def _predict(
        self, latents: Floats, actions: Floats, trusted: Bools
    ) -> tuple[
        Float[np.ndarray, "rows hypotheses channels latent"],
        Float[np.ndarray, "rows hypotheses channels latent"],
    ]:
        """Next latents and the logarithms of their standard deviations under every hypothesis."""
        count = len(self._sets)
        shape = (len(latents), count, *latents.shape[1:])
        mask = np.broadcast_to(trusted, shape[:3]).reshape(-1, shape[2])
        with torch.inference_mode():
            mean, log_std = self.dynamics(
                torch.from_numpy(np.repeat(latents, count, axis=0)).float(),
                torch.from_numpy(mask.copy()),
                torch.from_numpy(np.repeat(actions, count, axis=0)).float(),
            )
        return mean.double().numpy().reshape(shape), log_std.double().numpy().reshape(shape)

    def _evidence(
        self, latents: Floats, compared: Bools, past: _Past
    ) -> Float[np.ndarray, "envs hypotheses"]:
        """Log-likelihood of every hypothesis, but for a constant, from one step."""
        assert past.action is not None
        trusted = self._sets[None] & compared[:, None]
        mean, log_std = self._predict(past.latents, past.action, trusted)
        known = np.asarray(trusted.any(axis=2))
        evidence = np.zeros((len(latents), len(self._sets)))
        for pattern in np.unique(compared, axis=0):
            if not pattern.any():
                continue
            rows = np.flatnonzero((compared == pattern).all(axis=1))
            step = StepEvidence(
                self.residuals,
                Predicted(mean[rows], log_std[rows], known[rows]),
                [Predicted(p.mean[rows], p.log_std[rows], p.known[rows]) for p in past.predictions],
                past.latents[rows],
                latents[rows],
                self.config.memory,
            )
            for index in range(len(self._sets)):
                evidence[rows, index] = step.evidence(index, pattern)
        past.predictions.append(Predicted(mean, log_std, known))
        if len(past.predictions) > self.config.memory:
            past.predictions.popleft()
        return evidence

    def _decide(self, available: Bools, judged: Bools) -> Bools:
        believed = (self.scores <= self.thresholds) | ~judged[:, None]
        none = ~(believed & available).any(axis=1)
        plausible = np.where(available, self.scores, np.inf).argmin(axis=1)
        believed[none, plausible[none]] = True
        return believed


def _read_description(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise CheckpointError(
            f"no monitor at {path}; fit one with: python -m mmrl.monitor run={path.parent}"
        )
    wanted = {"channels", "actions", "config", "encoder_sha256", "weights_sha256"}
    return read_description(path, of="monitor", form=FORMAT, version=VERSION, wanted=wanted)
