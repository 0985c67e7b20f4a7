"""What runs found: one record for everything that is measured, joined over seeds, in files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mmrl.files import brief, read_json, write_atomically
from mmrl.metrics.intervals import mean_interval
from mmrl.runs.folder import RunFolderError, json_text

ROBUSTNESS, SCORES = "robustness", "scores"
"""Names of the files of either task, see `files_of`."""
SUMMARY = "summary.csv"
"""File of means, spreads and intervals over seeds."""
BERNOULLI = "bernoulli"
"""Name of the conditions in which every sensor is missing at random steps."""
REWARD_PER_STEP, RETURN = "reward_per_step", "return"
SCORE_NAMES = {REWARD_PER_STEP: "mean reward per step", RETURN: "return"}
"""What control can be scored by, and how tables and plots call it."""
MISSING_RATE, REALISED_RATE = "missing_rate", "realised_rate"
"""Share of (step, sensor) pairs that were missing, as `available` told, and faulty, told or not."""
BEST_FIRST = ("accuracy", "acc2_nonzero", "mae", "f1_weighted")
"""The score that classification is plotted and validated by: the first of these that there is."""
LOWER_IS_BETTER = ("mae",)


@dataclass(frozen=True)
class Result:
    """What one run reached under one condition, in one metric.

    Args:
        label: Name of the agent or method.
        condition: Modalities that are left, joined by `+`, or the name of a condition.
        rate: Share of steps or samples at which a modality is missing beside that.
        train_rate: Missing rate in training; None where no single number says it.
        seed: Seed of the run.
        metric: Name of what was measured.
        values: One for each episode; a single one where all samples make one score.
    """

    label: str
    condition: str
    rate: float
    train_rate: float | None
    seed: int
    metric: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return float(np.mean(self.values))

    @property
    def key(self) -> tuple[str, str, float, float | None, str]:
        """What results of several seeds have in common."""
        return self.label, self.condition, self.rate, self.train_rate, self.metric


@dataclass(frozen=True)
class Summary:
    """One metric of one agent or method under one condition, over seeds.

    Args:
        label: Name of the agent or method.
        condition: Modalities that are left, joined by `+`, or the name of a condition.
        rate: Share of steps or samples at which a modality is missing beside that.
        train_rate: Missing rate in training; None where no single number says it.
        metric: Name of what was measured.
        seeds: Number of seeds.
        count: Number of values of all seeds together.
        mean: Mean of the seeds' means.
        std: Standard deviation over the seeds; over the values where there is one seed.
        ci_low: Lower end of the interval of the mean, see `mmrl.metrics.intervals`.
        ci_high: Upper end of the interval.
    """

    label: str
    condition: str
    rate: float
    train_rate: float | None
    metric: str
    seeds: int
    count: int
    mean: float
    std: float
    ci_low: float
    ci_high: float


def check_score(score: str) -> None:
    """Refuses a score of control that does not exist.

    Raises:
        ValueError: It does not; the others are named.
    """
    if score not in SCORE_NAMES:
        raise ValueError(f"score is {score!r}; known: {list(SCORE_NAMES)}")


def main_metric(names: Iterable[str]) -> str:
    """The score of classification that stands for all: the first known one.

    Example:
        >>> main_metric(["mae", "pearson"])
        'mae'
    """
    known = list(names)
    return next((name for name in BEST_FIRST if name in known), known[0])


def summarise(results: Iterable[Result], *, confidence: float = 0.95) -> list[Summary]:
    """Joins the results of several seeds, in the order in which conditions first appear.

    Args:
        results: Results of any number of agents, conditions, metrics and seeds.
        confidence: Confidence of the intervals, in (0, 1).

    Raises:
        ValueError: A seed occurs twice for the same agent, condition and metric.

    Example:
        >>> found = [Result("sum", "image", 0.0, 0.5, s, "accuracy", (s / 2,)) for s in (1, 2)]
        >>> summarise(found)[0].mean
        0.75
    """
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(result.key, []).append(result)
    return [_summary(group, confidence) for group in groups.values()]


def names(summaries: Sequence[Summary]) -> list[str]:
    """What tables and plots call whoever a summary is of, for each summary.

    The training rate is named where one label has several.
    """
    owners = dict.fromkeys((s.label, s.train_rate) for s in summaries)
    labels = [label for label, _ in owners]
    shown = {
        (label, rate): label
        if labels.count(label) == 1
        else f"{label}, trained at {'other rates' if rate is None else f'{rate:.0%}'}"
        for label, rate in owners
    }
    return [shown[s.label, s.train_rate] for s in summaries]


def whole_of(summaries: Sequence[Summary]) -> str:
    """The condition in which most modalities are left."""
    return max((s.condition for s in summaries), key=lambda name: name.count("+"))


def _summary(group: Sequence[Result], confidence: float) -> Summary:
    label, condition, rate, train_rate, metric = group[0].key
    seeds = [result.seed for result in group]
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"several results of one seed: seed {max(seeds, key=seeds.count)} occurs twice for "
            f"{label!r}, {condition!r}; give runs that differ in seed, or in label"
        )
    samples = [np.asarray(result.values, np.float64) for result in group]
    means = np.array([values.mean() for values in samples])
    spread = float(means.std(ddof=1)) if len(group) > 1 else float(samples[0].std())
    low = high = float("nan")  # where a score is none
    if np.isfinite(means).all():
        low, high = mean_interval(samples, confidence=confidence)
    return Summary(
        label=label,
        condition=condition,
        rate=rate,
        train_rate=train_rate,
        metric=metric,
        seeds=len(group),
        count=sum(len(values) for values in samples),
        mean=float(means.mean()),
        std=spread,
        ci_low=low,
        ci_high=high,
    )


def write_results(
    folder: Path,
    stem: str,
    results: Sequence[Result],
    summaries: Sequence[Summary],
    failed: Sequence[str] = (),
) -> None:
    """Writes the files that `files_of` names.

    `<stem>.csv` has a line for each result, with the mean of its values; `summary.csv` one for each
    condition and metric, over seeds; `<stem>.json` has both, and every value.

    Args:
        folder: Where they are written.
        stem: Name of the files.
        results: Results of one run or several.
        summaries: What they are over seeds, see `summarise`.
        failed: Names of runs that should be among them and failed.
    """
    content = {
        "results": [asdict(result) for result in results],
        "summaries": [asdict(summary) for summary in summaries],
        "failed": list(failed),
    }
    write_atomically(folder / f"{stem}.csv", to_csv(results).encode())
    write_atomically(folder / SUMMARY, summaries_to_csv(summaries).encode())
    write_atomically(folder / f"{stem}.json", json_text(content).encode())


def files_of(stem: str) -> tuple[str, ...]:
    """Names of the files that `write_results` writes.

    Example:
        >>> files_of("scores")
        ('scores.csv', 'summary.csv', 'scores.json')
    """
    return f"{stem}.csv", SUMMARY, f"{stem}.json"


def to_csv(results: Iterable[Result]) -> str:
    """A line for each result: means rounded to six digits, and how many values they are of."""
    names = [f.name for f in fields(Result) if f.name != "values"]
    lines = (
        {name: getattr(r, name) for name in names} | {"value": r.mean, "count": len(r.values)}
        for r in results
    )
    return _csv([*names, "value", "count"], lines)


def summaries_to_csv(summaries: Iterable[Summary]) -> str:
    """A line for each summary, numbers rounded to six digits."""
    return _csv([f.name for f in fields(Summary)], (asdict(summary) for summary in summaries))


def _csv(columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()})
    return buffer.getvalue()


def read_results(path: Path) -> list[Result]:
    """Results of a JSON file that `write_results` made, or an older version of it.

    Args:
        path: Path of the file.

    Raises:
        RunFolderError: There is no such file, or it is damaged.
    """
    try:
        content = read_json(path)
        if "rows" in content:
            return [result for row in content["rows"] for result in _older(row)]
        return [_result(record) for record in content["results"]]
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} does not exist: the run has no results yet") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{type(error).__name__}: {brief(error)}"
        raise RunFolderError(f"{path} is damaged ({what})") from error


def _result(record: Mapping[str, Any]) -> Result:
    return Result(**{**record, "values": tuple(_number(value) for value in record["values"])})


def _older(row: Mapping[str, Any]) -> list[Result]:
    """A row of a file from before there was one record: of control, else of classification."""
    if "rewards" not in row:
        value = (_number(row["value"]),)
        scored = str(row["subset"]), float(row["test_rate"]), float(row["train_rate"])
        return [Result(str(row["method"]), *scored, int(row["seed"]), str(row["metric"]), value)]
    found = {
        REWARD_PER_STEP: row["rewards"],
        RETURN: row["returns"],
        # The oldest have one rate only, that of what was told.
        MISSING_RATE: [row.get("missing_rate", row["realised_rate"])],
        REALISED_RATE: [row["realised_rate"]],
    }
    place = str(row["condition"]), float(row["rate"]), None
    return [
        Result(
            str(row["agent"]), *place, int(row["seed"]), metric, tuple(_number(v) for v in values)
        )
        for metric, values in found.items()
    ]


def _number(value: float | None) -> float:
    """JSON has no NaN: it was written as null."""
    return float("nan") if value is None else float(value)
