"""What trials of a monitor show: table, CSV and plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from mmrl.metrics.detection import roc_curve
from mmrl.report.plots import COLOURS
from mmrl.report.results import REWARD_PER_STEP, SCORE_NAMES, Result
from mmrl_agents.monitor.trial import Finding, Trial, pooled

DASHES = ("-", "--", ":", "-.")


def to_results(findings: Sequence[Finding], *, label: str, seed: int) -> list[Result]:
    """What trials say, as records: a condition is a fault of a sensor.

    Args:
        findings: Findings of one run.
        label: Name of the agent.
        seed: Seed of the run.
    """
    return [
        Result(label, f"{f.fault} of {f.channel}", 0.0, None, seed, metric, (value,))
        for f in findings
        for metric, value in {**_numbers(f), "recovered": f.recovered}.items()
    ]


def _numbers(finding: Finding) -> dict[str, float]:
    return {name: value for name, value in asdict(finding).items() if isinstance(value, float)}


def monitor_table(findings: Sequence[Finding], *, title: str) -> Table:
    """What the terminal shows."""
    healthy = findings[0].healthy
    table = Table(
        title=title,
        caption=f"{SCORE_NAMES[REWARD_PER_STEP]}; {healthy:.3f} when nothing fails; "
        "told: the same outages, announced; delay in steps, of outages that are noticed",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for name in ("fault", "sensor"):
        table.add_column(name, no_wrap=True)
    for name in ("AUROC", "delay", "found", "without", "with", "told", "saved"):
        table.add_column(name, justify="right", no_wrap=True)
    for f in findings:
        table.add_row(
            f.fault,
            f.channel,
            f"{f.auroc:.3f}",
            "" if np.isnan(f.delay) else f"{f.delay:.1f}",
            f"{f.found:.0%}",
            f"{f.without:.3f}",
            f"{f.helped:.3f}",
            f"{f.announced:.3f}",
            "" if np.isnan(f.recovered) else f"{f.recovered:.0%}",
        )
    return table


def monitor_figure(
    findings: Sequence[Finding], trials: Sequence[Trial], names: Sequence[str], *, title: str
) -> Figure:
    """ROC curves of every sensor, delays, and rewards without and with the monitor.

    Args:
        findings: Findings of the trials.
        trials: Trials of every fault and sensor.
        names: Names of the sensors, in the order of the columns.
        title: Above the plot.
    """
    faults = list(dict.fromkeys(f.fault for f in findings))
    height = max(4.2, 1.5 + 0.24 * len(findings))
    figure = Figure(figsize=(4.0 * len(names) + 8.0, height), dpi=150, layout="constrained")
    axes = list(figure.subplots(1, len(names) + 2))
    for column, (axis, name) in enumerate(zip(axes, names, strict=False)):
        _draw_roc(axis, trials, faults, column, name)
    rows = [f"{f.fault}, {f.channel}" for f in findings]
    _draw_delays(axes[-2], findings, rows)
    _draw_rewards(axes[-1], findings, rows)
    found = [axis.get_legend_handles_labels() for axis in axes]
    unique = {
        label: handle
        for handles, labels in found
        for handle, label in zip(handles, labels, strict=True)
    }
    figure.legend(
        list(unique.values()), list(unique), loc="outside lower center", ncols=8, frameon=False
    )
    figure.suptitle(title)
    return figure


def _draw_roc(
    axis: Axes, trials: Sequence[Trial], faults: Sequence[str], column: int, name: str
) -> None:
    for index, fault in enumerate(faults):
        same = [t for t in trials if t.fault == fault]
        if all(t.channel != name for t in same):
            continue
        false, true = roc_curve(*pooled([t.alone for t in same], column))
        axis.plot(
            false,
            true,
            color=COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index // len(COLOURS) % len(DASHES)],
            label=fault,
        )
    axis.set(xlim=(0, 1), ylim=(0, 1.02), title=f"{name}: which steps are faulty")
    axis.set_xscale("symlog", linthresh=1e-3)
    axis.set(xlabel="false alarms (share of steps)", ylabel="found (share of faulty steps)")
    axis.grid(color="#dddddd", linewidth=0.6)


def _draw_delays(axis: Axes, findings: Sequence[Finding], rows: Sequence[str]) -> None:
    place = np.arange(len(findings))
    axis.barh(place, [f.delay for f in findings], color=COLOURS[0])
    for y, f in zip(place, findings, strict=True):
        if f.missed > 0:
            x = 0.0 if np.isnan(f.delay) else f.delay
            axis.annotate(f" {f.missed:.0%} missed", (x, float(y)), va="center", fontsize=8)
    axis.set_yticks(place, rows, fontsize=8)
    axis.margins(x=0.25)
    axis.invert_yaxis()
    axis.set(xlabel="steps", title="mean delay until it is noticed")


def _draw_rewards(axis: Axes, findings: Sequence[Finding], rows: Sequence[str]) -> None:
    place = np.arange(len(findings))
    series = (
        ("without monitor", [f.without for f in findings], COLOURS[1], "s"),
        ("with monitor", [f.helped for f in findings], COLOURS[0], "o"),
        ("announced", [f.announced for f in findings], COLOURS[6], "|"),
    )
    for label, values, colour, marker in series:
        axis.plot(values, place, marker, color=colour, label=label, markersize=7)
    axis.axvline(findings[0].healthy, color="#555555", linestyle="--", linewidth=1.2)
    axis.annotate(
        "nothing fails ", (findings[0].healthy, -0.65), ha="right", fontsize=8, color="#555555"
    )
    axis.set_yticks(place, rows, fontsize=8)
    axis.set_ylim(len(findings) - 0.5, -1.2)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set(xlabel=SCORE_NAMES[REWARD_PER_STEP], title="unannounced faults")
