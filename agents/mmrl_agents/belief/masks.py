"""How sensors fail while a belief learns: many kinds of outages, drawn anew for every batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from mmrl_envs.faults.fault import Fault
from mmrl_envs.faults.patterns import Bernoulli, Burst, Pattern, State

OUTAGES, UPTIMES = (4.0, 50.0), (5.0, 80.0)
"""Ranges of the mean lengths of bursts, in steps."""
MOST_MISSING = 0.95
SPARED = 0.2
"""Share of the sensors that a window of bursts spares."""
TOGETHER = 0.25
"""Share of the windows of bursts in which all sensors fail at once."""
COMPLETE, SUBSET, BURSTS, RANDOM, OWN = range(5)
SHARES = (0.10, 0.40, 0.30, 0.20)


def draw_masks(
    steps: int,
    windows: int,
    sensors: Sequence[str],
    rng: np.random.Generator,
    own: Sequence[Fault] = (),
) -> Bool[np.ndarray, "steps windows sensors"]:
    """Which sensors are there in each step of independent windows.

    A tenth of the windows is complete, 40 % keep one subset of the sensors (or none) throughout,
    30 % have bursts of many lengths, and in 20 % sensors are missing at random steps at one rate of
    up to 95 %. Where a run has faults of its own, they befall a fifth of all windows instead.

    Args:
        steps: Length of a window.
        windows: Number of windows.
        sensors: Their names.
        rng: What is drawn from.
        own: The run's faults; those that are announced count.
    """
    shares = [share * 0.8 for share in SHARES] + [0.2] if own else [*SHARES, 0.0]
    kinds = rng.choice(len(shares), size=windows, p=shares)
    count = len(sensors)
    masks = np.ones((steps, windows, count), np.bool_)
    subset = kinds == SUBSET
    masks[:, subset] = rng.random((int(subset.sum()), count)) < 0.5
    for window in np.flatnonzero(kinds == BURSTS):
        masks[:, window] = _bursts(steps, count, rng)
    for window in np.flatnonzero(kinds == RANDOM):
        rate = Bernoulli(float(rng.uniform(0.0, MOST_MISSING)))
        masks[:, window] = ~_down(rate, steps, count, rng)
    for window in np.flatnonzero(kinds == OWN):
        masks[:, window] = _own(steps, sensors, own, rng)
    return masks


def _bursts(steps: int, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    up = np.ones((steps, count), np.bool_)
    together = rng.random() < TOGETHER
    for sensor in range(1 if together else count):
        if not together and rng.random() < SPARED:
            continue
        outage, uptime = (
            float(np.exp(rng.uniform(*np.log(limits)))) for limits in (OUTAGES, UPTIMES)
        )
        up[:, sensor] = ~_down(Burst(outage, uptime), steps, 1, rng)[:, 0]
    return np.repeat(up[:, :1], count, axis=1) if together else up


def _own(
    steps: int, sensors: Sequence[str], faults: Sequence[Fault], rng: np.random.Generator
) -> NDArray[np.bool_]:
    up = np.ones((steps, len(sensors)), np.bool_)
    for fault in faults:
        if not fault.announced or isinstance(fault.pattern, State):
            continue
        columns = [
            i for i, s in enumerate(sensors) if fault.channels is None or s in fault.channels
        ]
        up[:, columns] &= ~_down(fault.pattern, steps, len(columns), rng)
    return up


def _down(pattern: Pattern, steps: int, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of some sensors a pattern befalls, (steps, sensors), from an episode's start on."""
    uniform = rng.random((steps if pattern.random else 0, count, 1))
    age = np.arange(steps)[:, None]
    return pattern.down(uniform, age, np.zeros((count, 1), np.bool_))[:, :, 0]
