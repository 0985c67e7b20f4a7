"""What a monitor is worth: how well it finds faults that nobody announces, and what that saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl.metrics.detection import auroc, detection_delays
from mmrl_agents.acting import LatentPolicy
from mmrl_agents.monitor.monitor import SensorMonitor
from mmrl_agents.robustness import Condition, MakeEnvs, evaluate
from mmrl_envs.faults import Fault

Times = Mapping[str, Any]
"""Pattern of a fault: when it happens, see `mmrl_envs.faults`."""


LEAST_LOSS = 0.01


@dataclass(frozen=True)
class Watched:
    """Episodes under one condition, watched by a monitor.

    Attributes:
        rewards: Mean reward per step of every episode.
        faulty: Which sensors failed, told or not, (steps, episodes, channels).
        scores: Scores of the monitor.
        believed: What it decided.
        running: Which episodes had not ended, (steps, episodes).
    """

    rewards: Float[np.ndarray, " episodes"]
    faulty: Bool[np.ndarray, "steps episodes channels"]
    scores: Float[np.ndarray, "steps episodes channels"]
    believed: Bool[np.ndarray, "steps episodes channels"]
    running: Bool[np.ndarray, "steps episodes"]


@dataclass(frozen=True)
class Trial:
    """One sensor that fails in one way, unannounced: without the monitor's help, and with it.

    Attributes:
        fault: Name of the fault.
        channel: The sensor.
        alone: The monitor scores, but all sensors are believed.
        helped: It decides which sensors are believed.
    """

    fault: str
    channel: str
    alone: Watched
    helped: Watched


@dataclass(frozen=True)
class Finding:
    """What a trial says about a monitor.

    Attributes:
        fault: Name of the fault.
        channel: The sensor that fails.
        auroc: Area under the ROC curve of the sensor's score, while the monitor only watches. All
            steps count, also those in which this fault befalls another sensor: blaming the wrong
            one costs.
        auroc_helped: `auroc` while the monitor decides.
        delay: Mean steps from the beginning of an outage to the first step at which the sensor is
            disbelieved, over outages that are noticed; while the monitor decides.
        missed: Share of the outages that are never noticed, harmless ones among them.
        found: Share of the faulty steps at which the sensor is disbelieved.
        false_alarms: Share of the steps at which another sensor is disbelieved.
        healthy: Mean reward per step when nothing fails.
        without: With the fault.
        helped: With the fault and the monitor.
        announced: With a blackout at the same times that is announced: an oracle.
    """

    fault: str
    channel: str
    auroc: float
    auroc_helped: float
    delay: float
    missed: float
    found: float
    false_alarms: float
    healthy: float
    without: float
    helped: float
    announced: float

    @property
    def recovered(self) -> float:
        """Share of the reward lost to the fault that the monitor saves.

        NaN where less than a hundredth of the healthy reward is lost: there is nothing to save.
        """
        lost = self.healthy - self.without
        if lost <= LEAST_LOSS * abs(self.healthy):
            return float("nan")
        return (self.helped - self.without) / lost


def watch(
    agent: LatentPolicy,
    monitor: SensorMonitor,
    make_envs: MakeEnvs,
    condition: Condition,
    *,
    episodes: int,
    seed: int,
    silent: bool,
) -> Watched:
    """Runs episodes and records what a monitor makes of them.

    Args:
        agent: What acts; watched by the monitor for as long as this takes.
        monitor: Fitted.
        make_envs: See `evaluate`.
        condition: How sensors fail.
        episodes: All at once.
        seed: Seed of starts and faults.
        silent: Whether the monitor only scores.
    """
    rows: list[tuple[NDArray[Any], ...]] = []

    def on_step(faulty: NDArray[np.bool_], running: NDArray[np.bool_]) -> None:
        rows.append((faulty.copy(), monitor.scores, monitor.believed, running.copy()))

    before = agent.latents.monitor, monitor.silent
    agent.latents.monitor, monitor.silent = monitor, silent
    monitor.reset()
    try:
        (result,) = evaluate(
            agent,
            make_envs,
            [condition],
            episodes=episodes,
            seed=seed,
            n_envs=episodes,
            on_step=on_step,
        )
    finally:
        agent.latents.monitor, monitor.silent = before
    return Watched(result.rewards, *(np.stack(part) for part in zip(*rows, strict=True)))


def trials(
    agent: LatentPolicy,
    monitor: SensorMonitor,
    make_envs: MakeEnvs,
    faults: Mapping[str, Mapping[str, Any]],
    times: Times,
    *,
    episodes: int,
    seed: int,
) -> Iterator[Trial]:
    """Every fault on every sensor that it fits, one sensor at a time.

    Args:
        agent: What acts.
        monitor: Fitted.
        make_envs: See `evaluate`.
        faults: Mechanism and its parameters, by name.
        times: Pattern and its parameters.
        episodes: In each trial, with the same starts and outages.
        seed: Seed of starts and faults.

    Raises:
        TypeError: A fault or the pattern has a value of the wrong type.
        ValueError: It is wrong in another way.
    """
    for name, mechanism in faults.items():
        unfit = misfits(make_envs, {**times, **mechanism}, monitor.names)
        for channel in (c for c in monitor.names if c not in unfit):
            spec = {**times, **mechanism, "channels": [channel], "announced": False}
            condition = Condition(f"{name} of {channel}", (spec,))
            alone, helped = (
                watch(
                    agent,
                    monitor,
                    make_envs,
                    condition,
                    episodes=episodes,
                    seed=seed,
                    silent=silent,
                )
                for silent in (True, False)
            )
            yield Trial(name, channel, alone, helped)


def misfits(make_envs: MakeEnvs, spec: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """The sensors that a fault cannot befall, and why: an occlusion needs an image, for example.

    Args:
        make_envs: See `evaluate`.
        spec: Specification of the fault, see `mmrl_envs.faults`.
        names: Names of all sensors.

    Raises:
        TypeError: A value of the specification has the wrong type.
        ValueError: The specification is wrong in another way.
    """
    fault = Fault.from_spec(spec)
    envs = make_envs(1)
    space = envs.single_observation_space
    envs.close()
    unfit = {}
    for name in names:
        try:
            fault.mechanism.effect(name, space[name], 1)  # type: ignore[index]
        except ValueError as error:
            unfit[name] = str(error)
    return unfit


def findings(
    trials: Sequence[Trial],
    names: Sequence[str],
    healthy: Float[np.ndarray, " episodes"],
    announced: Mapping[str, Float[np.ndarray, " episodes"]],
) -> list[Finding]:
    """What trials say, see `Finding`.

    Args:
        trials: Trials of every fault and sensor.
        names: Names of the sensors, in the order of the columns.
        healthy: Rewards when nothing fails and no monitor decides.
        announced: Rewards with announced blackouts of each sensor.
    """
    made = []
    for trial in trials:
        column = list(names).index(trial.channel)
        same = [t for t in trials if t.fault == trial.fault]
        run, helped = trial.helped.running, trial.helped
        faulty = helped.faulty[..., column] & run
        disbelieved = ~helped.believed & run[..., None]
        delays = detection_delays(faulty, disbelieved[..., column])
        others = np.delete(disbelieved, column, axis=2)
        noticed = delays[np.isfinite(delays)]
        made.append(
            Finding(
                trial.fault,
                trial.channel,
                auroc(*pooled([t.alone for t in same], column)),
                auroc(*pooled([t.helped for t in same], column)),
                float(noticed.mean()) if len(noticed) else float("nan"),
                float(1 - len(noticed) / max(1, len(delays))),
                float(disbelieved[..., column][faulty].mean()),
                float(others[run].mean()),
                float(healthy.mean()),
                float(trial.alone.rewards.mean()),
                float(helped.rewards.mean()),
                float(announced[trial.channel].mean()),
            )
        )
    return made


def pooled(
    watched: Sequence[Watched], column: int
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Scores of a sensor at all steps, and whether it was faulty."""
    scores = [w.scores[..., column][w.running] for w in watched]
    faulty = [w.faulty[..., column][w.running] for w in watched]
    return np.concatenate(scores), np.concatenate(faulty)
