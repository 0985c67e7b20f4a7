"""Tables of robustness: rows for files, summaries over seeds, and what the terminal shows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from mmrl.files import brief, read_json
from mmrl.metrics.intervals import interval_is_over, mean_interval
from mmrl.runs.folder import RunFolderError

BERNOULLI = "bernoulli"
"""Name of the conditions in which every sensor is missing at random steps."""
ROWS = "robustness.json"
"""File of the rows with the values of every episode."""
REWARD_PER_STEP, RETURN = "reward_per_step", "return"
SCORE_NAMES = {REWARD_PER_STEP: "mean reward per step", RETURN: "return"}
"""What summaries can be of, and how tables and plots call it."""


def check_score(score: str) -> None:
    """Refuses a score that does not exist.

    Raises:
        ValueError: It does not; the others are named.
    """
    if score not in SCORE_NAMES:
        raise ValueError(f"score is {score!r}; known: {list(SCORE_NAMES)}")


@dataclass(frozen=True)
class Row:
    """One agent of one seed under one condition.

    Args:
        agent: Name of the agent.
        condition: Which sensors are left, joined by `+`; or `bernoulli`.
        rate: Share of steps at which a sensor is missing, where the condition has one; else 0.
        seed: The run's.
        rewards: Mean reward per step of every episode.
        returns: Sum of rewards of every episode.
        missing_rate: Share of (step, sensor) pairs that were missing, as `available` told.
        realised_rate: Share of (step, sensor) pairs that were faulty, told or not.
        ci_low: Lower end of the bootstrap interval of the mean reward per step.
        ci_high: Upper end.
    """

    agent: str
    condition: str
    rate: float
    seed: int
    rewards: tuple[float, ...]
    returns: tuple[float, ...]
    missing_rate: float
    realised_rate: float
    ci_low: float
    ci_high: float

    @property
    def mean_reward_per_step(self) -> float:
        """Over episodes."""
        return float(np.mean(self.rewards))

    @property
    def mean_return(self) -> float:
        """Over episodes."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Of the episodes' mean rewards per step."""
        return float(np.std(self.rewards))

    def scores(self, score: str) -> tuple[float, ...]:
        """Of every episode; `score` is one of `SCORE_NAMES`."""
        return {REWARD_PER_STEP: self.rewards, RETURN: self.returns}[score]

    @property
    def key(self) -> tuple[str, str, float]:
        """What rows of several seeds have in common."""
        return self.agent, self.condition, self.rate


COLUMNS = (
    "agent",
    "condition",
    "rate",
    "seed",
    "episodes",
    "mean_reward_per_step",
    "std",
    "ci_low",
    "ci_high",
    "mean_return",
    "missing_rate",
    "realised_rate",
)


def columns(row: Row) -> dict[str, str | float | int]:
    """A row as the files have it, numbers rounded to six digits."""
    values: dict[str, str | float | int] = {
        "agent": row.agent,
        "condition": row.condition,
        "rate": row.rate,
        "seed": row.seed,
        "episodes": len(row.rewards),
        "mean_reward_per_step": round(row.mean_reward_per_step, 6),
        "std": round(row.std, 6),
        "ci_low": round(row.ci_low, 6),
        "ci_high": round(row.ci_high, 6),
        "mean_return": round(row.mean_return, 4),
        "missing_rate": round(row.missing_rate, 6),
        "realised_rate": round(row.realised_rate, 6),
    }
    return {name: values[name] for name in COLUMNS}


def to_csv(rows: Iterable[Row]) -> str:
    """Rows as comma-separated values with a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(columns(row) for row in rows)
    return buffer.getvalue()


def to_json(
    rows: Sequence[Row], summaries: Sequence[Summary], failed: Sequence[str] = ()
) -> dict[str, object]:
    """Rows with the values of every episode, summaries, and names of runs that failed, for JSON.

    `read_rows` reads the rows.
    """
    return {
        "rows": [asdict(r) for r in rows],
        "summaries": [asdict(s) for s in summaries],
        "failed": list(failed),
    }


def read_rows(path: Path) -> list[Row]:
    """Rows of a file that `to_json` made.

    Older files have one rate only, that of what was told: their realised rate is too small where
    faults were not announced.

    Raises:
        RunFolderError: There is no such file, or it is damaged.
    """
    try:
        return [_row(record) for record in read_json(path)["rows"]]
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} does not exist: the run was not evaluated yet") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {brief(error)}"
        raise RunFolderError(f"{path} is damaged ({what})") from error


def _row(record: Mapping[str, Any]) -> Row:
    content = dict(record)
    content.setdefault("missing_rate", content["realised_rate"])
    for name in ("rewards", "returns"):
        content[name] = tuple(float(value) for value in content[name])
    return Row(**content)


@dataclass(frozen=True)
class Summary:
    """One agent under one condition, over seeds.

    Args:
        agent: Name of the agent.
        condition: What failed.
        rate: Nominal share of steps at which a sensor is missing.
        seeds: How many.
        episodes: How many in all.
        mean: Mean of the seeds' mean scores.
        std: Over the seeds; over the episodes where there is one seed.
        ci_low: Lower end of the interval of the mean, see `mmrl.metrics.intervals`.
        ci_high: Upper end.
    """

    agent: str
    condition: str
    rate: float
    seeds: int
    episodes: int
    mean: float
    std: float
    ci_low: float
    ci_high: float


def summarise(
    rows: Sequence[Row], *, confidence: float = 0.95, score: str = REWARD_PER_STEP
) -> list[Summary]:
    """Joins the rows of several seeds, in the order in which conditions first appear.

    Args:
        rows: Rows of any number of agents, conditions and seeds.
        confidence: Confidence of the intervals.
        score: Score of every episode, one of `SCORE_NAMES`.

    Raises:
        ValueError: A seed occurs twice for the same agent and condition.
    """
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.key, []).append(row)
    return [_summary(group, confidence, score) for group in groups.values()]


def _summary(rows: Sequence[Row], confidence: float, score: str) -> Summary:
    agent, condition, rate = rows[0].key
    seeds = [row.seed for row in rows]
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"agent {agent!r} has several results of one seed ({sorted(seeds)}) under "
            f"{condition!r}: give runs that differ in seed, or in label"
        )
    samples: list[NDArray[np.float64]] = [np.asarray(row.scores(score), np.float64) for row in rows]
    means = np.array([values.mean() for values in samples])
    if len(rows) == 1 and score == REWARD_PER_STEP:
        low, high = rows[0].ci_low, rows[0].ci_high
    else:
        low, high = mean_interval(samples, confidence=confidence)
    return Summary(
        agent=agent,
        condition=condition,
        rate=rate,
        seeds=len(rows),
        episodes=sum(len(row.rewards) for row in rows),
        mean=float(means.mean()),
        std=float(means.std(ddof=1)) if len(rows) > 1 else float(samples[0].std()),
        ci_low=low,
        ci_high=high,
    )


def robustness_table(
    summaries: Sequence[Summary],
    *,
    title: str,
    reference: Mapping[str, float] | None = None,
    score: str = REWARD_PER_STEP,
) -> Table:
    """What the terminal shows.

    Args:
        summaries: See `summarise`.
        title: Above the table.
        reference: Scores of known policies by name; shown below.
        score: What the summaries are of.
    """
    over_seeds = any(s.seeds > 1 for s in summaries)
    agents = {s.agent for s in summaries}
    counts = {f"{s.seeds} seeds, " * over_seeds + f"{s.episodes} episodes" for s in summaries}
    notes = [
        SCORE_NAMES[score],
        f"{' or '.join(sorted(counts))} per line",
        f"means, intervals over {interval_is_over(max(s.seeds for s in summaries))}",
    ]
    notes += [f"{name}: {value:g}" for name, value in (reference or {}).items()]
    table = Table(
        title=title,
        caption="; ".join(n for n in notes if n),
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    names = ["agent"] if len(agents) > 1 else []
    names += ["sensors", "missing", "return" if score == RETURN else "reward", "interval", "std"]
    for name in names:
        text = name in ("agent", "sensors")
        # Names of many sensors are broken where the terminal is narrow; numbers never are.
        table.add_column(
            name,
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold" if text else "ellipsis",
        )
    for s in summaries:
        cells = [s.agent] if len(agents) > 1 else []
        cells += [
            "at random" if s.condition == BERNOULLI else s.condition,
            f"{s.rate:.0%}" if s.condition == BERNOULLI else "",
            f"{s.mean:.3f}",
            f"{s.ci_low:.3f} to {s.ci_high:.3f}",
            f"{s.std:.3f}",
        ]
        table.add_row(*cells)
    return table


def cost_table(costs: Sequence[Mapping[str, object]], *, title: str) -> Table:
    """A table with one line for each mapping; the keys of the first are the columns."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for index, name in enumerate(costs[0] if costs else ()):
        table.add_column(name, justify="left" if index == 0 else "right")
    for cost in costs:
        table.add_row(*(_cell(value) for value in cost.values()))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
