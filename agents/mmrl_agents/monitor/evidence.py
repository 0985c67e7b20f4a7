"""Which sensors lie: a hidden Markov model over the sets of sensors that tell the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MOST_CHANNELS = 5
DEGREES = 5.0
"""Of freedom of the Student-t density: residuals have heavier tails than a Gaussian."""
RIDGE = 1e-3
SCATTER = (10.0, 30.0, 100.0)
"""Times by which the latent of a lying sensor scatters wider around its own continuation."""
STUCK, LATE = math.log(0.2), math.log(0.2)
"""Prior probabilities that a lying sensor repeats itself, or shows the past."""
ANYWHERE = math.log(0.6)


def hypotheses(channels: int) -> Bool[np.ndarray, "hypotheses channels"]:
    """Every non-empty set of sensors that may be telling the truth, larger ones first.

    Example:
        >>> hypotheses(2).astype(int).tolist()
        [[1, 1], [1, 0], [0, 1]]
    """
    sets = [s for k in range(channels, 0, -1) for s in combinations(range(channels), k)]
    table = np.zeros((len(sets), channels), np.bool_)
    for row, chosen in zip(table, sets, strict=True):
        row[list(chosen)] = True
    return table


class Residuals:
    """How far predictions are off when nothing fails: a Student-t density for every hypothesis.

    Residuals are in units of the standard deviations that were predicted.

    Args:
        mean: Over fault-free data, (hypotheses, channels, latent).
        covariance: Between all coordinates of all channels.
    """

    def __init__(
        self,
        mean: Float[np.ndarray, "hypotheses channels latent"],
        covariance: Float[np.ndarray, "hypotheses size size"],
    ) -> None:
        self.mean, self.covariance = mean, covariance
        self._whitening: dict[tuple[int, tuple[int, ...]], tuple[Floats, float]] = {}

    @classmethod
    def estimate(cls, residuals: Float[np.ndarray, "rows hypotheses channels latent"]) -> Residuals:
        """Moments of fault-free residuals, with a small ridge."""
        count, size = residuals.shape[1], residuals.shape[2] * residuals.shape[3]
        flat = residuals.reshape(len(residuals), count, size).swapaxes(0, 1)
        covariance = np.stack([np.cov(rows.T) for rows in flat]) + RIDGE * np.eye(size)
        return cls(residuals.mean(axis=0), covariance)

    def log_density(
        self,
        residual: Float[np.ndarray, "rows chosen latent"],
        hypothesis: int,
        chosen: tuple[int, ...],
        widths: tuple[float, ...] = (1.0,),
    ) -> Float[np.ndarray, " rows"]:
        """Of the residuals of some channels together.

        Args:
            residual: Residual of the chosen channels.
            hypothesis: Which sensors the prediction trusted.
            chosen: Indices of the channels.
            widths: The density is the mean of densities that are so many times wider.
        """
        whitening, log_det = self._whiten(hypothesis, chosen)
        centred = (residual - self.mean[hypothesis, list(chosen)]).reshape(len(residual), -1)
        distance = np.square(centred @ whitening.T).sum(axis=1)
        size = centred.shape[1]
        constant = math.lgamma((DEGREES + size) / 2) - math.lgamma(DEGREES / 2)
        constant -= size / 2 * math.log(DEGREES * math.pi) + log_det
        parts = [
            constant
            - size * math.log(width)
            - (DEGREES + size) / 2 * np.log1p(distance / (DEGREES * width**2))
            for width in widths
        ]
        return log_sum(np.stack(parts)) - math.log(len(widths))

    def _whiten(self, hypothesis: int, chosen: tuple[int, ...]) -> tuple[Floats, float]:
        key = (hypothesis, chosen)
        if key not in self._whitening:
            latent = self.mean.shape[2]
            index = np.concatenate([np.arange(latent) + latent * channel for channel in chosen])
            factor = np.linalg.cholesky(self.covariance[hypothesis][np.ix_(index, index)])
            log_det = float(np.log(np.diag(factor)).sum())
            self._whitening[key] = (np.linalg.inv(factor), log_det)
        return self._whitening[key]


@dataclass(frozen=True)
class Predicted:
    """Latents that are expected under every hypothesis, (envs, hypotheses, channels, latent).

    Attributes:
        mean: Their means.
        log_std: Logarithms of their standard deviations.
        known: Where there was anything to predict from, (envs, hypotheses).
    """

    mean: Floats
    log_std: Floats
    known: Bools


class StepEvidence:
    """What one step says for every hypothesis, where the same sensors can be compared.

    Args:
        residuals: What is normal.
        now: Prediction of the present latents.
        earlier: Predictions of the latents some steps ago, in which late readings are looked for.
        before: Latents of the step before, (envs, channels, latent).
        latents: Present ones.
        memory: Number of steps by which a reading may be late.
    """

    def __init__(
        self,
        residuals: Residuals,
        now: Predicted,
        earlier: Sequence[Predicted],
        before: Floats,
        latents: Floats,
        memory: int,
    ) -> None:
        self.sets, self.residuals = hypotheses(latents.shape[1]), residuals
        self.mean, self.log_std = now.mean, now.log_std
        self.earlier, self.memory = earlier, memory
        self.before, self.latents = before, latents
        self._anywhere: dict[int, Floats] = {}

    def evidence(self, index: int, compared: Bools) -> Floats:
        """Of a hypothesis, relative to all sensors being anywhere."""
        total = np.zeros(len(self.latents))
        trusted = tuple(int(m) for m in np.flatnonzero(self.sets[index] & compared))
        if trusted:
            total += self._true(trusted) - sum(self.anywhere(m) for m in trusted)
        for m in map(int, np.flatnonzero(compared & ~self.sets[index])):
            total += self._lie(index, m) - self.anywhere(m)
        return total

    def anywhere(self, m: int) -> Floats:
        """Density of a latent that scatters widely around its own continuation."""
        if m not in self._anywhere:
            own = self._index((m,))
            self._anywhere[m] = self._density(
                own, (m,), self.mean[:, own], self.log_std[:, own], SCATTER
            )
        return self._anywhere[m]

    def _true(self, trusted: tuple[int, ...]) -> Floats:
        """Density of trusted latents: where they predict each other, and each its own course.

        The geometric mean of the density given all of them and of each one's given the others: the
        first alone would let sensors that disagree be right side by side, each true to itself.
        """
        index = self._index(trusted)
        together = self._density(index, trusted, self.mean[:, index], self.log_std[:, index])
        if len(trusted) == 1:
            return together
        crosswise = np.zeros_like(together)
        for m in trusted:
            others = self._index(tuple(k for k in trusted if k != m))
            crosswise += self._density(others, (m,), self.mean[:, others], self.log_std[:, others])
        return (together + crosswise) / 2

    def _lie(self, index: int, m: int) -> Floats:
        """Density of the latent of a lying sensor: anywhere, stuck, or late."""
        own = self._index((m,))
        stuck = self._density(own, (m,), self.before, self.log_std[:, own])
        parts = [ANYWHERE + self.anywhere(m), STUCK + stuck]
        for then in self.earlier:
            late = self._density(index, (m,), then.mean[:, index], then.log_std[:, index])
            late = late + LATE - math.log(self.memory)
            parts.append(np.where(then.known[:, index], late, -np.inf))
        return log_sum(np.stack(parts))

    def _density(
        self,
        index: int,
        chosen: tuple[int, ...],
        mean: Floats,
        log_std: Floats,
        widths: tuple[float, ...] = (1.0,),
    ) -> Floats:
        columns = list(chosen)
        scale = log_std[:, columns]
        residual = (self.latents[:, columns] - mean[:, columns]) * np.exp(-scale)
        density = self.residuals.log_density(residual, index, chosen, widths)
        return np.asarray(density - scale.sum(axis=(1, 2)))

    def _index(self, channels: tuple[int, ...]) -> int:
        wanted = np.isin(np.arange(self.sets.shape[1]), channels)
        return int(np.flatnonzero((self.sets == wanted).all(axis=1))[0])


class Beliefs:
    """The probability of every hypothesis, for each of several environments.

    At each step one sensor may begin to lie or recover: a Markov chain with geometric sojourn
    times, which makes decisions sticky. Log-probabilities are kept normalised.

    Args:
        channels: Number of sensors.
        uptime: Mean number of steps for which a sensor tells the truth.
        outage: Mean number of steps for which it lies.

    Raises:
        ValueError: The mean times are too short for so many sensors.
    """

    def __init__(self, channels: int, uptime: float, outage: float) -> None:
        self.trusted = hypotheses(channels)
        changed = self.trusted[:, None] != self.trusted[None]
        begins = (self.trusted[:, None] & ~self.trusted[None]).any(axis=2)
        leave = np.where(begins, 1 / uptime, 1 / outage) * (changed.sum(axis=2) == 1)
        stay = 1 - leave.sum(axis=1)
        if not stay.min() > 0:
            raise ValueError(
                f"uptime {uptime:g} and outage {outage:g} are too short for {channels} sensors of "
                f"which one at a time changes: both must be more than {channels} steps"
            )
        with np.errstate(divide="ignore"):
            self._transition = np.log(leave + np.diag(stay))
        # The chain's equilibrium, as far as sensors fail on their own.
        share = outage / (uptime + outage)
        lying = (~self.trusted).sum(axis=1)
        prior = lying * math.log(share) + (channels - lying) * math.log1p(-share)
        self._prior = prior - log_sum(prior)
        self.logs: Floats = np.zeros((0, len(self.trusted)))

    def start(self, rows: Bools) -> None:
        """Forgets what was known of some environments."""
        if len(self.logs) != len(rows):
            self.logs = np.tile(self._prior, (len(rows), 1))
        self.logs[rows] = self._prior

    def update(self, evidence: Float[np.ndarray, "envs hypotheses"]) -> None:
        """One step of the forward algorithm; evidence are log-likelihoods."""
        moved = log_sum(np.moveaxis(self.logs[:, :, None] + self._transition, 1, 0))
        logs = moved + evidence
        self.logs = logs - log_sum(logs.T)[:, None]

    def scores(self) -> Float[np.ndarray, "envs channels"]:
        """Logarithm of the odds that a sensor lies."""
        columns = []
        for trusted in self.trusted.T:
            lies, tells = self.logs[:, ~trusted], self.logs[:, trusted]
            columns.append(log_sum(lies.T) - log_sum(tells.T))
        return np.stack(columns, axis=1)


def log_sum(values: Floats) -> Floats:
    """Logarithm of the sum of exponentials over the first axis; minus infinity counts as nothing.

    Example:
        >>> float(log_sum(np.log([1.0, 3.0])).round(6)) == round(math.log(4), 6)
        True
    """
    top = values.max(axis=0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(safe + np.log(np.exp(values - safe).sum(axis=0)))
