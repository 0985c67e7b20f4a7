"""Scores of classification runs: what is missing, every subset and rate, files, and joined runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.classification.config import ClassificationConfig
from mmrl.data import ArrayData
from mmrl.data.dataset import DataSet
from mmrl.data.missingness import Rule
from mmrl.data.protocol import Drawn
from mmrl.files import write_atomically
from mmrl.methods import Supervised
from mmrl.metrics.scores import subset_scores
from mmrl.report.plots import Words, curves_figure, robustness_figure, to_pixels, to_png
from mmrl.report.scores import (
    LOWER_IS_BETTER,
    SCORES,
    SUMMARY,
    ScoreRow,
    ScoreSummary,
    comparison_table,
    main_metric,
    over_training,
    plotted,
    read_scores,
    score_table,
    summaries_to_csv,
    summarise,
    to_csv,
    to_json,
)
from mmrl.runs.device import resolve_device
from mmrl.runs.folder import RunFolder, json_text
from mmrl.runs.progress import Advance
from mmrl.runs.sweep import without
from mmrl.settings import ConfigError
from mmrl.subsets import chosen_subsets

WORDS = {
    "subsets": "modalities that are there",
    "subsets_title": "some modalities are never there",
    "rates": "missing rate in the test (%)",
    "rates_title": "modalities are missing at random",
}

JOINED = ("scores.csv", SUMMARY, SCORES, "scores.png")

Masks = dict[float, Drawn]
"""What is missing, by the missing rate of the test; 0 is the test as it is."""


def draw_masks(config: ClassificationConfig, data: DataSet) -> Masks:
    """Draws what is missing: a function of the data, the rules and the seed alone.

    Raises:
        ValueError: Rules that do not fit the data.
    """
    masks = {0.0: config.protocol(None).draw(data)}
    for spec in config.missing.tests:
        protocol = config.protocol(spec)
        drawn = protocol.draw(data)
        masks[nominal_rate(protocol.test, drawn, "test")] = drawn
    return masks


def nominal_rate(rules: Sequence[Rule], drawn: Drawn, split: str) -> float:
    """The rate of the one rule that there is, else the realised share of all slots."""
    if not rules:
        return 0.0
    if len(rules) == 1 and isinstance(rules[0].rate, int | float):
        return float(rules[0].rate)
    return float(drawn.realised[split]["overall"])


def valid_scores(method: Supervised, data: DataSet) -> dict[str, float]:
    """Scores of the validation samples by whatever is available of each, by metric.

    Beside them the main one of each modality alone and of everything but one modality, as
    `image/accuracy`: of the samples that have those modalities, where there are any.
    """
    device = next(method.parameters()).device

    def scores_of(seen: tuple[str, ...], valid: ArrayData) -> dict[str, float]:
        found = subset_scores(
            method.predict, valid, names=data.target_names, only=[seen], device=device
        )
        return {score.metric: score.value for score in found}

    found = scores_of(method.names, data.valid)
    metric = main_metric(found)
    alone = [(name,) for name in method.names]
    others = [tuple(n for n in method.names if n != name) for name in method.names]
    for seen in dict.fromkeys(alone + others):
        columns = [method.names.index(name) for name in seen]
        rows = np.flatnonzero(data.valid.available[:, columns].all(axis=1))
        if seen and seen != method.names and len(rows):
            found[f"{'+'.join(seen)}/{metric}"] = scores_of(seen, data.valid.subset(rows))[metric]
    return found


def score(
    config: ClassificationConfig,
    method: Supervised,
    data: DataSet,
    masks: Masks,
    advance: Advance = lambda _: None,
) -> list[ScoreRow]:
    """Scores of the test: subsets of the modalities at every missing rate.

    Args:
        config: Configuration of the run.
        method: What predicts.
        data: The data set as loaded, without masks.
        masks: What is missing at each rate.
        advance: Called with the number of rates done.
    """
    train_rate = nominal_rate(config.protocol(None).train, masks[0.0], "train")
    rows = []
    for done, (rate, drawn) in enumerate(sorted(masks.items()), start=1):
        test = data.test.masked(drawn.masks["test"])
        found = subset_scores(
            method.predict,
            test,
            names=data.target_names,
            only=chosen_subsets(method.names, config.evaluate.subsets),
            device=resolve_device(config.device),
        )
        rows += [
            ScoreRow(
                method=config.label,
                data=data.name,
                subset=score.subset,
                train_rate=train_rate,
                test_rate=rate,
                seed=config.seed,
                metric=score.metric,
                value=score.value,
            )
            for score in found
        ]
        advance(done)
    return rows


def write_scores(
    rows: Sequence[ScoreRow],
    out: Path,
    console: Console,
    writer: SummaryWriter,
    what: str,
    failed: Sequence[str] = (),
) -> None:
    """Table, CSV, JSON, plot and TensorBoard's part.

    Args:
        rows: Rows of one run or several.
        out: Folder for the files.
        console: Takes the table.
        writer: Takes scalars and the plot.
        what: For the title: which seeds.
        failed: Runs that should be there and are not.
    """
    summaries = summarise(rows)
    rates = sorted({s.train_rate for s in summaries})
    methods = list(dict.fromkeys(s.method for s in summaries))
    shown = ", ".join(f"{rate:.0%}" for rate in rates)
    whose = f"{methods[0]} on " * (len(methods) == 1)
    title = f"{whose}{rows[0].data}, {what}, {shown} missing in training"
    title += f", without {len(failed)} that failed" * bool(failed)
    write_atomically(out / "scores.csv", to_csv(rows).encode())
    write_atomically(out / SUMMARY, summaries_to_csv(summaries).encode())
    write_atomically(out / SCORES, json_text(to_json(rows, summaries, failed)).encode())
    for name, figure in _figures(summaries, title).items():
        write_atomically(out / f"{name}.png", to_png(figure))
        writer.add_image(name, to_pixels(figure), dataformats="HWC")
    several = len({(s.method, s.train_rate) for s in summaries}) > 1
    for s in summaries:
        owner = f"{s.method}@{s.train_rate:g}/" * several
        name = f"test/{owner}{s.subset}/{s.metric}"
        writer.add_scalar(name, s.mean, round(100 * s.test_rate))
    table = (comparison_table if several else score_table)(summaries, title=title)
    if failed:
        table.caption = f"{table.caption}; {without(failed)}"
    console.print(table)


def _figures(summaries: Sequence[ScoreSummary], title: str) -> dict[str, Figure]:
    """Plots by name: over the test's rates, or, of several training rates, over those as well."""
    metric = main_metric(s.metric for s in summaries)
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    words = Words(score=f"{metric} in the test ({better} is better)", **WORDS)
    rates = sorted({s.train_rate for s in summaries})
    if len(rates) == 1:
        return {"scores": robustness_figure(plotted(summaries, metric), title=title, words=words)}
    over = replace(words, rates="missing rate in training (%)")
    figures = {"scores": curves_figure(over_training(summaries, metric), title=title, words=over)}
    for rate in rates:
        own = plotted([s for s in summaries if s.train_rate == rate], metric)
        at = f"{summaries[0].data}, {rate:.0%} missing in training"
        figures[f"scores-{rate:g}"] = robustness_figure(own, title=at, words=words)
    return figures


def join_scores(runs: Sequence[RunFolder], console: Console) -> Path:
    """Joins the scores of several runs over their seeds into a new subfolder of the first.

    Args:
        runs: Runs of one data set; methods and missing rates may differ.
        console: Takes the table.

    Raises:
        ConfigError: The runs are of several data sets, or two are of the same seed and label.
        RunFolderError: A run has no scores yet.
    """
    rows = [row for run in runs for row in read_scores(run.path / SCORES)]
    if len(names := sorted({row.data for row in rows})) > 1:
        raise ConfigError(f"scores on several data sets cannot be joined: {', '.join(names)}")
    try:
        summarise(rows)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    out = runs[0].new_subfolder("evaluation")
    write_joined(rows, out, console)
    return out


def write_joined(
    rows: Sequence[ScoreRow], out: Path, console: Console, failed: Sequence[str] = ()
) -> None:
    """`write_scores` of several runs."""
    seeds = len({row.seed for row in rows})
    with SummaryWriter(str(out / "tb")) as writer:
        what = f"{seeds} seed{'s' * (seeds > 1)}"
        write_scores(rows, out, console, writer, what, failed)
