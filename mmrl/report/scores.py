"""Scores of classification and regression: rows for files, summaries over seeds, and the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from mmrl.files import brief, read_json
from mmrl.metrics.intervals import mean_interval
from mmrl.report.robustness import BERNOULLI, Summary
from mmrl.runs.folder import RunFolderError

SCORES = "scores.json"
"""File of the rows."""
SUMMARY = "summary.csv"
"""File of means, spreads and intervals over seeds."""
METRICS_SHOWN = 4
BEST_FIRST = ("accuracy", "acc2_nonzero", "mae", "f1_weighted")
"""The score that is plotted and validated by: the first of these that there is."""
LOWER_IS_BETTER = ("mae",)


@dataclass(frozen=True)
class ScoreRow:
    """One score of one method of one seed.

    Args:
        method: Label of the method.
        data: Name of the data set.
        subset: Modalities that could be seen, `image+sound`.
        train_rate: Missing rate in training.
        test_rate: Missing rate in the test beside what the subset leaves out.
        seed: The run's.
        metric: Name of the score.
        value: The score.
    """

    method: str
    data: str
    subset: str
    train_rate: float
    test_rate: float
    seed: int
    metric: str
    value: float

    @property
    def condition(self) -> tuple[str, str, str, float, float]:
        """What rows of several seeds and metrics have in common."""
        return self.method, self.data, self.subset, self.train_rate, self.test_rate


COLUMNS = tuple(f.name for f in fields(ScoreRow))


@dataclass(frozen=True)
class ScoreSummary:
    """One score of one method over seeds.

    Args:
        method: Label of the method.
        data: Name of the data set.
        subset: Modalities that could be seen, `image+sound`.
        train_rate: Missing rate in training.
        test_rate: Missing rate in the test beside what the subset leaves out.
        metric: Name of the score.
        seeds: How many.
        mean: Over seeds.
        std: Over seeds (with n - 1); 0 where there is one.
        ci_low: Lower end of the bootstrap interval (95 %) of the mean over seeds; the mean where
            there is one seed.
        ci_high: Upper end.
    """

    method: str
    data: str
    subset: str
    train_rate: float
    test_rate: float
    metric: str
    seeds: int
    mean: float
    std: float
    ci_low: float
    ci_high: float


def to_csv(rows: Iterable[ScoreRow]) -> str:
    """Rows as comma-separated values with a header, scores rounded to six digits."""
    return _csv(COLUMNS, (asdict(row) for row in rows))


def summaries_to_csv(summaries: Iterable[ScoreSummary]) -> str:
    """Summaries as comma-separated values with a header, numbers rounded to six digits."""
    columns = tuple(f.name for f in fields(ScoreSummary))
    return _csv(columns, (asdict(summary) for summary in summaries))


def _csv(columns: Sequence[str], lines: Iterable[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()})
    return buffer.getvalue()


def to_json(
    rows: Sequence[ScoreRow], summaries: Sequence[ScoreSummary], failed: Sequence[str] = ()
) -> dict[str, object]:
    """Rows, summaries and names of runs that failed for JSON; `read_scores` reads the rows."""
    return {
        "rows": [asdict(r) for r in rows],
        "summaries": [asdict(s) for s in summaries],
        "failed": list(failed),
    }


def read_scores(path: Path) -> list[ScoreRow]:
    """Rows of a file that `to_json` made.

    Raises:
        RunFolderError: There is no such file, or it is damaged.
    """
    try:
        rows = read_json(path)["rows"]
        # JSON has no NaN: a score that is none was written as null.
        return [ScoreRow(**{**r, "value": _number(r["value"])}) for r in rows]
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} does not exist: the run was not scored yet") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {brief(error)}"
        raise RunFolderError(f"{path} is damaged ({what})") from error


def summarise(rows: Sequence[ScoreRow]) -> list[ScoreSummary]:
    """Joins the rows of several seeds, in the order in which conditions first appear.

    Raises:
        ValueError: A seed occurs twice for the same method, condition and score.

    Example:
        >>> rows = [
        ...     ScoreRow("sum", "digits", "image", 0.5, 0.0, s, "accuracy", s / 2) for s in (1, 2)
        ... ]
        >>> summarise(rows)[0].mean
        0.75
    """
    groups: dict[tuple[object, ...], list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault((*row.condition, row.metric), []).append(row)
    return [_summary(group) for group in groups.values()]


def _summary(rows: Sequence[ScoreRow]) -> ScoreSummary:
    seeds = [row.seed for row in rows]
    first = rows[0]
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"seed {max(seeds, key=seeds.count)} occurs twice for {first.method!r}, "
            f"{first.subset!r}: give runs that differ in seed, or in label"
        )
    values = np.array([row.value for row in rows])
    mean, std = float(values.mean()), 0.0
    low = high = mean
    if len(values) > 1 and np.isfinite(values).all():
        std = float(values.std(ddof=1))
        low, high = mean_interval([np.array([value]) for value in values])
    return ScoreSummary(*first.condition, first.metric, len(rows), mean, std, low, high)


def main_metric(names: Iterable[str]) -> str:
    """The score that stands for all: the first known one.

    Example:
        >>> main_metric(["mae", "pearson"])
        'mae'
    """
    known = list(names)
    return next((name for name in BEST_FIRST if name in known), known[0])


def score_table(summaries: Sequence[ScoreSummary], *, title: str) -> Table:
    """What the terminal shows: a line for each condition, a column for each score.

    Conditions are the subsets of the complete test and the rates of the whole; subsets under a
    rate are in the files only.

    Args:
        summaries: See `summarise`.
        title: Above the table.
    """
    metrics = list(dict.fromkeys(s.metric for s in summaries))[:METRICS_SHOWN]
    labels = series(summaries)
    seeds = sorted({s.seeds for s in summaries})
    over_seeds = seeds[-1] > 1
    count = " or ".join(map(str, seeds))
    caption = f"mean ± standard deviation of {count} seeds" if over_seeds else "one seed"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, collapse_padding=True)
    several = len(set(labels.values())) > 1
    for name in ["method"] * several + ["modalities", "missing"]:
        table.add_column(name, no_wrap=True, justify="right" if name == "missing" else "left")
    for name in metrics:
        table.add_column(name, no_wrap=True, justify="right")
    lines: dict[tuple[str, str, float], dict[str, str]] = {}
    longest = max(s.subset.count("+") for s in summaries)
    for s in summaries:
        if s.test_rate and s.subset.count("+") < longest:
            continue
        spread = f" ± {s.std:.3f}" if over_seeds else ""
        place = lines.setdefault((labels[s.method, s.train_rate], s.subset, s.test_rate), {})
        place[s.metric] = f"{s.mean:.3f}{spread}"
    for (label, subset, rate), cells in lines.items():
        first = [label] if several else []
        shown = f"{rate:.0%}" if rate else ""
        table.add_row(*first, subset, shown, *(cells.get(name, "") for name in metrics))
    return table


def comparison_table(summaries: Sequence[ScoreSummary], *, title: str) -> Table:
    """What the terminal shows of several methods or training rates: their main score side by side.

    Methods stand below each other under each subset of the complete test; all else is in the files.

    Args:
        summaries: See `summarise`.
        title: Above the table.
    """
    metric = main_metric(s.metric for s in summaries)
    shown = [s for s in summaries if s.metric == metric and s.test_rate == 0]
    seeds = " or ".join(map(str, sorted({s.seeds for s in shown})))
    caption = f"{metric}: mean ± standard deviation, 95 % interval of the mean; seeds: {seeds}"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in ("missing in training", "modalities", "method"):
        table.add_column(name)
    for name in (metric, "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    blocks: dict[tuple[float, str], list[ScoreSummary]] = {}
    for s in sorted(shown, key=lambda s: s.train_rate):
        blocks.setdefault((s.train_rate, s.subset), []).append(s)
    for (rate, subset), block in blocks.items():
        for i, s in enumerate(block):
            where = ("", "") if i else (f"{rate:.0%}", subset)
            interval = f"{s.ci_low:.3f} to {s.ci_high:.3f}" * (s.seeds > 1)
            value = f"{s.mean:.3f} ± {s.std:.3f}" if s.seeds > 1 else f"{s.mean:.3f}"
            table.add_row(*where, s.method, value, interval, end_section=i == len(block) - 1)
    return table


def series(summaries: Sequence[ScoreSummary]) -> dict[tuple[str, float], str]:
    """Names of lines by method and training rate: the rate is named where one method has several.

    The same names stand in tables and plots.
    """
    found = dict.fromkeys((s.method, s.train_rate) for s in summaries)
    methods = [method for method, _ in found]
    return {
        (method, rate): method + (f", trained at {rate:.0%}" * (methods.count(method) > 1))
        for method, rate in found
    }


def plotted(summaries: Sequence[ScoreSummary], metric: str) -> list[Summary]:
    """One score as what `mmrl.report.plots.robustness_figure` draws.

    Rows of the whole at any test rate are the curve, those at rate 0 the subsets.
    """
    own = [s for s in summaries if s.metric == metric]
    labels = series(summaries)
    longest = max(s.subset.count("+") for s in own)
    points = [
        _point(s, labels[s.method, s.train_rate], condition, s.test_rate)
        for s in own
        for condition in [s.subset] * (s.test_rate == 0)
        + [BERNOULLI] * (s.subset.count("+") == longest)
    ]
    has_curve = any(p.rate > 0 for p in points)
    return [p for p in points if has_curve or p.condition != BERNOULLI]


def over_training(summaries: Sequence[ScoreSummary], metric: str) -> list[Summary]:
    """One score of the complete test against the training's rate: `plots.curves_figure`."""
    return [
        _point(s, s.method, s.subset, s.train_rate)
        for s in summaries
        if s.metric == metric and s.test_rate == 0
    ]


def _point(score: ScoreSummary, agent: str, condition: str, rate: float) -> Summary:
    """A score in the terms in which plots are drawn."""
    return Summary(
        agent=agent,
        condition=condition,
        rate=rate,
        seeds=score.seeds,
        episodes=0,
        mean=score.mean,
        std=score.std,
        ci_low=score.ci_low,
        ci_high=score.ci_high,
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
