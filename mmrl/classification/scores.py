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
from mmrl.report.results import (
    LOWER_IS_BETTER,
    SCORES,
    Result,
    Summary,
    files_of,
    main_metric,
    read_results,
    summarise,
    whole_of,
    write_results,
)
from mmrl.report.tables import comparison_table, score_table
from mmrl.runs.device import resolve_device
from mmrl.runs.folder import RunFolder
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

FILES = (*files_of(SCORES), "scores.png")

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
) -> list[Result]:
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
            Result(
                label=config.label,
                condition=score.subset,
                rate=rate,
                train_rate=train_rate,
                seed=config.seed,
                metric=score.metric,
                values=(score.value,),
            )
            for score in found
        ]
        advance(done)
    return rows


def write_scores(
    results: Sequence[Result],
    data: str,
    out: Path,
    console: Console,
    writer: SummaryWriter,
    failed: Sequence[str] = (),
) -> None:
    """Table, CSV, JSON, plot and TensorBoard's part.

    Args:
        results: Results of one run or several.
        data: Name of the data set.
        out: Folder for the files.
        console: Takes the table.
        writer: Takes scalars and the plot.
        failed: Names of runs that should be there and are not.
    """
    summaries = summarise(results)
    title = _title(results, data)
    title += f", without {len(failed)} that failed" * bool(failed)
    write_results(out, SCORES, results, summaries, failed)
    for name, figure in _figures(summaries, data, title).items():
        write_atomically(out / f"{name}.png", to_png(figure))
        writer.add_image(name, to_pixels(figure), dataformats="HWC")
    several = len({(s.label, s.train_rate) for s in summaries}) > 1
    for s in summaries:
        owner = f"{s.label}@{s.train_rate or 0:g}/" * several
        name = f"test/{owner}{s.condition}/{s.metric}"
        writer.add_scalar(name, s.mean, round(100 * s.rate))
    table = (comparison_table if several else score_table)(summaries, title=title)
    if failed:
        table.caption = f"{table.caption}; {without(failed)}"
    console.print(table)


def _title(results: Sequence[Result], data: str) -> str:
    """Whose results they are, on what, and how much was missing in training."""
    labels = list(dict.fromkeys(result.label for result in results))
    whose = f"{labels[0]} on " * (len(labels) == 1)
    seeds = sorted({result.seed for result in results})
    what = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    shown = ", ".join(f"{rate:.0%}" for rate in sorted({r.train_rate or 0.0 for r in results}))
    return f"{whose}{data}, {what}, {shown} missing in training"


def _figures(summaries: Sequence[Summary], data: str, title: str) -> dict[str, Figure]:
    """Plots by name: over the test's rates, or, of several training rates, over those as well."""
    metric = main_metric(s.metric for s in summaries)
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    words = Words(score=f"{metric} in the test ({better} is better)", **WORDS)
    whole = whole_of(summaries)
    shown = [s for s in summaries if s.metric == metric and (s.rate == 0 or s.condition == whole)]
    rates = sorted({s.train_rate or 0.0 for s in shown})
    if len(rates) == 1:
        return {"scores": robustness_figure(shown, title=title, words=words, curve=whole)}
    over = replace(words, rates="missing rate in training (%)")
    complete = [s for s in shown if s.rate == 0]
    figures = {"scores": curves_figure(complete, title=title, words=over)}
    for rate in rates:
        own = [s for s in shown if s.train_rate == rate]
        at = f"{data}, {rate:.0%} missing in training"
        figures[f"scores-{rate:g}"] = robustness_figure(own, title=at, words=words, curve=whole)
    return figures


def join_scores(
    runs: Sequence[RunFolder], out: Path, console: Console, failed: Sequence[str] = ()
) -> None:
    """Joins the scores of several runs over their seeds.

    Args:
        runs: Runs of one data set; methods and missing rates may differ.
        out: Folder for the files.
        console: Takes the table.
        failed: Names of runs that should be there and are not.
    """
    with SummaryWriter(str(out / "tb")) as writer:
        write_scores(scores_of(runs), data_of(runs[0]), out, console, writer, failed)


def check_joined(runs: Sequence[RunFolder]) -> None:
    """Whether the scores of several runs can be joined.

    Raises:
        ConfigError: The runs are of several data sets, or two are of the same seed and label.
        RunFolderError: A run has no scores yet.
    """
    results = scores_of(runs)
    if len(names := sorted({data_of(run) for run in runs})) > 1:
        raise ConfigError(f"scores on several data sets cannot be joined: {', '.join(names)}")
    try:
        summarise(results)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def scores_of(runs: Sequence[RunFolder]) -> list[Result]:
    """Results of several runs, one after the other.

    Raises:
        RunFolderError: A run has no scores yet.
    """
    return [result for run in runs for result in read_results(run.path / f"{SCORES}.json")]


def data_of(run: RunFolder) -> str:
    """Name of a run's data set; that of its file where it is the user's own."""
    data = run.config["data"]
    return Path(data["path"]).stem if data["name"] == "file" else str(data["name"])
