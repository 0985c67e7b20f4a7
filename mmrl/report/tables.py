"""What the terminal shows of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from mmrl.metrics.intervals import interval_is_over
from mmrl.report.results import (
    BERNOULLI,
    RETURN,
    SCORE_NAMES,
    Summary,
    main_metric,
    names,
    whole_of,
)

METRICS_SHOWN = 4


def robustness_table(
    summaries: Sequence[Summary], *, title: str, reference: Mapping[str, float] | None = None
) -> Table:
    """One score under every condition.

    Args:
        summaries: Summaries of one metric, see `mmrl.report.results.summarise`.
        title: Text above the table.
        reference: Scores of known policies by name; shown below.
    """
    score = summaries[0].metric
    over_seeds = any(s.seeds > 1 for s in summaries)
    shown = names(summaries)
    several = len(set(shown)) > 1
    counts = {f"{s.seeds} seeds, " * over_seeds + f"{s.count} episodes" for s in summaries}
    notes = [
        SCORE_NAMES[score],
        f"{' or '.join(sorted(counts))} per line",
        f"means, intervals over {interval_is_over(max(s.seeds for s in summaries))}",
    ]
    notes += [f"{name}: {value:g}" for name, value in (reference or {}).items()]
    table = Table(
        title=title,
        caption="; ".join(notes),
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    columns = ["agent"] if several else []
    columns += ["sensors", "missing", "return" if score == RETURN else "reward", "interval", "std"]
    for name in columns:
        text = name in ("agent", "sensors")
        # Names of many sensors are broken where the terminal is narrow; numbers never are.
        table.add_column(
            name,
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold" if text else "ellipsis",
        )
    for label, s in zip(shown, summaries, strict=True):
        at_random = s.condition == BERNOULLI
        table.add_row(
            *([label] if several else []),
            "at random" if at_random else s.condition,
            f"{s.rate:.0%}" if at_random else "",
            f"{s.mean:.3f}",
            f"{s.ci_low:.3f} to {s.ci_high:.3f}",
            f"{s.std:.3f}",
        )
    return table


def score_table(summaries: Sequence[Summary], *, title: str) -> Table:
    """A line for each condition, a column for each score.

    Conditions are the subsets of the complete test and the rates of the whole; subsets under a
    rate are in the files only.

    Args:
        summaries: See `mmrl.report.results.summarise`.
        title: Text above the table.
    """
    metrics = list(dict.fromkeys(s.metric for s in summaries))[:METRICS_SHOWN]
    seeds = sorted({s.seeds for s in summaries})
    over_seeds = seeds[-1] > 1
    count = " or ".join(map(str, seeds))
    caption = f"mean ± standard deviation of {count} seeds" if over_seeds else "one seed"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, collapse_padding=True)
    shown = names(summaries)
    several = len(set(shown)) > 1
    for name in ["method"] * several + ["modalities", "missing"]:
        table.add_column(name, no_wrap=True, justify="right" if name == "missing" else "left")
    for name in metrics:
        table.add_column(name, no_wrap=True, justify="right")
    lines: dict[tuple[str, str, float], dict[str, str]] = {}
    whole = whole_of(summaries)
    for label, s in zip(shown, summaries, strict=True):
        if s.rate and s.condition != whole:
            continue
        spread = f" ± {s.std:.3f}" if over_seeds else ""
        place = lines.setdefault((label, s.condition, s.rate), {})
        place[s.metric] = f"{s.mean:.3f}{spread}"
    for (label, condition, rate), cells in lines.items():
        first = [label] if several else []
        missing = f"{rate:.0%}" if rate else ""
        table.add_row(*first, condition, missing, *(cells.get(name, "") for name in metrics))
    return table


def comparison_table(summaries: Sequence[Summary], *, title: str) -> Table:
    """The main score of several methods or training rates side by side.

    Methods stand below each other under each subset of the complete test; all else is in the files.

    Args:
        summaries: See `mmrl.report.results.summarise`.
        title: Text above the table.
    """
    metric = main_metric(s.metric for s in summaries)
    shown = [s for s in summaries if s.metric == metric and s.rate == 0]
    seeds = " or ".join(map(str, sorted({s.seeds for s in shown})))
    caption = f"{metric}: mean ± standard deviation, 95 % interval of the mean; seeds: {seeds}"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in ("missing in training", "modalities", "method"):
        table.add_column(name)
    for name in (metric, "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    blocks: dict[tuple[float | None, str], list[Summary]] = {}
    for s in sorted(shown, key=lambda s: s.train_rate or 0.0):
        blocks.setdefault((s.train_rate, s.condition), []).append(s)
    for (rate, condition), block in blocks.items():
        for i, s in enumerate(block):
            where = ("", "") if i else ("" if rate is None else f"{rate:.0%}", condition)
            interval = f"{s.ci_low:.3f} to {s.ci_high:.3f}" * (s.seeds > 1)
            value = f"{s.mean:.3f} ± {s.std:.3f}" if s.seeds > 1 else f"{s.mean:.3f}"
            table.add_row(*where, s.label, value, interval, end_section=i == len(block) - 1)
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
