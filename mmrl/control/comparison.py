"""Several agents over several seeds in one folder, joined in one table and one plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.control.config import ComparisonConfig, TrainConfig, VariantConfig, to_stored
from mmrl.control.normalization_statistics import keep_statistics
from mmrl.methods.settings import NO_METHOD
from mmrl.report.plots import robustness_figure, to_png
from mmrl.report.robustness import (
    ROWS,
    Row,
    cost_table,
    read_rows,
    robustness_table,
    summarise,
    to_csv,
    to_json,
)
from mmrl.runs.folder import RunFolder
from mmrl.runs.members import Members, without

Train = Callable[[TrainConfig, RunFolder, Console], None]
STAGE = "compare"


def compare(config: TrainConfig, run: RunFolder, console: Console, train: Train) -> None:
    """Trains what is not trained yet, one run in a subfolder for each variant and seed.

    Args:
        config: With variants and seeds in `config.comparison`.
        run: The folder of the whole comparison.
        console: Where progress is shown.
        train: Trains and evaluates one run.

    Raises:
        MembersFailedError: Some members failed; the others are trained and joined.
    """
    config = keep_statistics(config, run.path)
    members = Members(run, console)
    runs: dict[str, list[RunFolder]] = {}
    for seed in config.comparison.seeds:
        for name, variant in config.comparison.variants.items():
            single = variant_config(config, name, variant, seed)
            member = members.open(f"{name}-seed{seed}", to_stored(single))
            with members.attempt(member):
                train(single, member, console)
                runs.setdefault(name, []).append(member)

    def write() -> None:
        found = [row for own in runs.values() for one in own for row in read_rows(one.path / ROWS)]
        _write(config, run, console, found, members.failed)
        costs = [{"agent": name, **_costs(own)} for name, own in runs.items()]
        run.write_json("costs.json", costs)
        console.print(cost_table(costs, title="what an agent costs (means over seeds)"))

    members.join(STAGE, ("robustness.csv", ROWS, "robustness.png", "costs.json"), write)


def variant_config(
    config: TrainConfig, name: str, variant: VariantConfig, seed: int
) -> TrainConfig:
    """The configuration of one run of a comparison."""
    plain = variant.representation == NO_METHOD
    return replace(
        config,
        comparison=ComparisonConfig(),
        encoder=None if plain else config.encoder,
        experiment=f"{config.experiment}-{name}",
        faults=replace(config.faults, models=variant.faults),
        label=name,
        method=NO_METHOD if plain else config.method,
        method_settings=None if plain else config.method_settings,
        seed=seed,
    )


def _write(
    config: TrainConfig, run: RunFolder, console: Console, rows: list[Row], failed: list[str]
) -> None:
    reference, score = config.env.reference, config.env.score
    summaries = summarise(rows, confidence=config.evaluate.confidence, score=score)
    title = f"{config.experiment}: {config.agent.total_timesteps:,} steps each"
    title += f", without {len(failed)} that failed" * bool(failed)
    figure = robustness_figure(summaries, title=title, reference=reference, score=score)
    run.write_text("robustness.csv", to_csv(rows))
    run.write_json(ROWS, to_json(rows, summaries, failed))
    run.write_bytes("robustness.png", to_png(figure))
    with SummaryWriter(str(run.path / "tb")) as writer:
        writer.add_figure("robustness", figure)
    table = robustness_table(summaries, title=title, reference=reference, score=score)
    if failed:
        table.caption = f"{table.caption}; {without(failed)}"
    console.print(table)


def _costs(runs: list[RunFolder]) -> dict[str, float]:
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
