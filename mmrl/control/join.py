"""The runs of a sweep in one table and one plot, and what each agent cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.control.config import TrainConfig
from mmrl.control.evaluate import FILES, report
from mmrl.report.results import ROBUSTNESS, read_results
from mmrl.report.tables import cost_table
from mmrl.runs.folder import RunFolder

COSTS = "costs.json"
JOINED = (*FILES, COSTS)


def join(
    config: TrainConfig,
    runs: Sequence[RunFolder],
    sweep: RunFolder,
    failed: Sequence[str],
    console: Console,
) -> None:
    """Writes `JOINED`, and shows what they hold.

    Args:
        config: Settings of the sweep.
        runs: Finished runs of it.
        sweep: The folder of the sweep.
        failed: Names of the runs that failed.
        console: Takes the tables.
    """
    results = [r for run in runs for r in read_results(run.path / f"{ROBUSTNESS}.json")]
    title = f"{config.experiment}: {config.agent.total_timesteps:,} steps each"
    title += f", without {len(failed)} that failed" * bool(failed)
    _, figure = report(config, results, sweep.path, console, title, failed)
    with SummaryWriter(str(sweep.path / "tb")) as writer:
        writer.add_figure("robustness", figure)
    owners: dict[str, list[RunFolder]] = {}
    for run in runs:
        owners.setdefault(str(run.config["label"]), []).append(run)
    costs = [{"agent": label, **_costs(own)} for label, own in owners.items()]
    sweep.write_json(COSTS, costs)
    console.print(cost_table(costs, title="what an agent costs (means over seeds)"))


def _costs(runs: Sequence[RunFolder]) -> dict[str, float]:
    """Means over seeds; seconds of all stages, steps per second and memory of the policy's."""
    found = [run.metrics() for run in runs]

    def mean(section: str, key: str) -> float:
        return float(np.mean([metrics[section][key] for metrics in found]))

    seconds = [sum(metrics["seconds"].values()) for metrics in found]
    collected = [metrics.get("collect", {}).get("samples", 0) for metrics in found]
    return {
        "steps/s": mean("train", "timesteps_per_second"),
        "replay MB": mean("train", "replay_megabytes"),
        "policy parameters": int(mean("train", "parameters")),
        "steps without reward": int(np.mean(collected)),
        "minutes in all": float(np.mean(seconds)) / 60,
    }
