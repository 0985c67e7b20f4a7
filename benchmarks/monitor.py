"""What a monitor finds and saves over seeds, and what it costs per step.

    python -m mmrl.monitor run=RUN0      for each run first: fits, and measures 50 episodes a fault
    OMP_NUM_THREADS=1 python benchmarks/monitor.py RUN0 RUN1 RUN2

Runs are those of `python -m mmrl.train seed=0`, 1 and 2. The newest `monitor-<n>/monitor.json` of
each is read; columns are means over the runs, and the least over them where it says so. Targets:
AUROC of noise, freeze and delays at least .95; half of the reward that unannounced faults cost is
saved.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

import mmrl
import mmrl_envs  # noqa: F401  (registers the id)
from mmrl.report.results import read_results
from mmrl_agents.monitor.trial import LEAST_LOSS

ENV = "mmrl/MultimodalPendulum-v0"
STEPS = 300


def newest(run: Path) -> dict[str, dict[str, float]]:
    """Metrics of the last measurement of a run, by fault and sensor."""
    found = sorted(run.glob("monitor-*/monitor.json"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        sys.exit(f"no measurement in {run}; make one with: python -m mmrl.monitor run={run}")
    metrics: dict[str, dict[str, float]] = {}
    for result in read_results(found[-1]):
        metrics.setdefault(result.condition, {})[result.metric] = result.mean
    return metrics


def table(tables: Sequence[Mapping[str, Mapping[str, float]]]) -> None:
    """Means over runs."""
    print(
        f"{'fault':24}{'AUROC':>7}{'least':>7}{'helped':>8}{'delay':>7}{'missed':>8}"
        f"{'found':>7}{'wrong':>7}{'without':>9}{'with':>8}{'told':>8}{'saved':>7}"
    )
    for condition in tables[0]:
        rows = [found[condition] for found in tables]

        def values(name: str, rows: Sequence[Mapping[str, float]] = rows) -> list[float]:
            return [row[name] for row in rows]

        means = {name: float(np.mean(values(name))) for name in rows[0]}
        lost = means["healthy"] - means["without"]
        saved = (means["helped"] - means["without"]) / lost
        worth = lost > LEAST_LOSS * abs(means["healthy"])
        print(
            f"{condition:24}{means['auroc']:7.3f}"
            f"{min(values('auroc')):7.3f}{means['auroc_helped']:8.3f}{means['delay']:7.1f}"
            f"{means['missed']:8.1%}{means['found']:7.1%}{means['false_alarms']:7.1%}"
            f"{means['without']:9.3f}{means['helped']:8.3f}{means['announced']:8.3f}"
            + (f"{saved:7.0%}" if worth else "")
        )
    print(f"reward per step when nothing fails: {means['healthy']:.3f}")


def milliseconds(run: Path, monitor: bool) -> float:
    """Median time of one step of a control loop."""
    agent = mmrl.load(run, monitor=monitor)
    env = gym.make(ENV)
    observation, _ = env.reset(seed=0)
    times = []
    for _ in range(STEPS - 1):
        start = time.perf_counter()
        action = agent.act(observation)
        times.append(1e3 * (time.perf_counter() - start))
        observation, *_ = env.step(action)
    return float(np.median(times))


def main() -> None:
    """The table, and the time for one step with and without the monitor."""
    torch.set_num_threads(1)
    runs = [Path(argument) for argument in sys.argv[1:]]
    if not runs:
        sys.exit("usage: python benchmarks/monitor.py RUN [RUN ...]")
    table([newest(run) for run in runs])
    bare, watched = milliseconds(runs[0], monitor=False), milliseconds(runs[0], monitor=True)
    print(f"one step, batch 1: {bare:.2f} ms without the monitor, {watched:.2f} ms with it")


if __name__ == "__main__":
    main()
