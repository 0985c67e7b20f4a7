"""Plots of runs. Nothing needs a display; the colours can be told apart by the colour-blind."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmrl.report.results import BERNOULLI, REWARD_PER_STEP, SCORE_NAMES, Summary, names

# Okabe and Ito's palette without yellow, which is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
PANELS_IN_A_ROW = 4
SUBSETS_WIDTH, LETTER_WIDTH = 4.0, 0.085
"""Inches of the panel of subsets, and of a letter of its labels on average."""
LINE_HEIGHT, AROUND = 0.3, 1.5
"""Inches of a subset in a list of subsets, and of what stands above and below the list."""
_STYLE = {
    "figure.dpi": 150,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Words:
    """What `robustness_figure` writes at its axes.

    Args:
        score: What is measured.
        subsets: What the left panel compares.
        subsets_title: Above it.
        rates: What the right panel varies.
        rates_title: Above it.
    """

    score: str
    subsets: str = "working sensors"
    subsets_title: str = "some sensors never work"
    rates: str = "steps at which a sensor is missing (%)"
    rates_title: str = "every sensor fails at random"


def robustness_figure(
    summaries: Sequence[Summary],
    *,
    title: str,
    reference: Mapping[str, float] | None = None,
    words: Words | None = None,
    curve: str = BERNOULLI,
) -> Figure:
    """A score for every subset of sensors, and against the rate at which sensors fail at random.

    Args:
        summaries: Summaries of one metric and any number of agents, see
            `mmrl.report.results.summarise`.
        title: Above the plot.
        reference: Scores of known policies by name, drawn as lines where they are near the results
            and named in the margin where they are not.
        words: What the axes say; those of control where None.
        curve: The condition whose rates are the right panel; a subset is in the left one as well,
            where nothing else is missing.
    """
    words = words or Words(f"{SCORE_NAMES[summaries[0].metric]} (higher is better)")
    if curve == BERNOULLI:
        summaries = _named_where_alone(summaries)
    owners = dict(zip(summaries, names(summaries), strict=True))
    is_subset = curve != BERNOULLI
    subsets = [s for s in summaries if s.condition != curve or (is_subset and s.rate == 0)]
    rates = [s for s in summaries if s.condition == curve]
    if is_subset and all(s.rate == 0 for s in rates):
        rates = []
    agents = list(dict.fromkeys(owners.values()))
    with _style():
        panels = [part for part in (subsets, rates) if part]
        conditions = list(dict.fromkeys(s.condition for s in subsets))
        listed = _must_be_listed(conditions)
        height = max(4.2, AROUND + LINE_HEIGHT * len(conditions) * listed)
        figure, axes = _figure(len(panels), [1.0, 1.25][: len(panels)], height)
        for axis, part in zip(axes, panels, strict=True):
            for index, agent in enumerate(agents):
                own = [s for s in part if owners[s] == agent]
                if part is rates:
                    _draw_rates(axis, own, agent, index, words)
                else:
                    _draw_subsets(axis, own, agent, index, len(agents), listed)
            if part is subsets:
                _name_subsets(axis, conditions, _titled(words, conditions), listed)
        listing = axes[0] if listed else None
        _share_limits(axes, summaries, reference or {}, listing)
        if listing is not None:
            listing.set_xlabel(words.score)
        if listing is not axes[-1]:
            axes[listed].set_ylabel(words.score)
        if len(agents) > 1:
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(agents))
        figure.suptitle(title)
    return figure


def _named_where_alone(summaries: Sequence[Summary]) -> list[Summary]:
    """One rate of failure is a condition beside the others: a point is no curve."""
    rates = {s.rate for s in summaries if s.condition == BERNOULLI}
    if len(rates) != 1:
        return list(summaries)
    name = f"each missing {rates.pop():.0%}"
    return [replace(s, condition=name) if s.condition == BERNOULLI else s for s in summaries]


def _titled(words: Words, conditions: Sequence[str]) -> Words:
    """Says that there is more than subsets, where there is: bursts, a frozen sensor."""
    whole = set(conditions[0].split("+"))
    others = any(not set(condition.split("+")) <= whole for condition in conditions)
    return replace(words, subsets_title=f"{words.subsets_title}{', or fail otherwise' * others}")


def curves_figure(summaries: Sequence[Summary], *, title: str, words: Words) -> Figure:
    """A score against the rate of training, a panel for each condition and a line for each agent.

    Args:
        summaries: Summaries of one metric and any number of agents, conditions and training rates.
        title: Above the plot.
        words: What the axes say; the conditions are the panels' titles.
    """
    conditions = list(dict.fromkeys(s.condition for s in summaries))
    agents = list(dict.fromkeys(s.label for s in summaries))
    rows = -(-len(conditions) // PANELS_IN_A_ROW)
    columns = -(-len(conditions) // rows)
    with _style():
        figure = Figure(figsize=(1.4 + 4.4 * columns, 0.6 + 3.6 * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axis in axes[len(conditions) :]:
            axis.remove()
        for axis, condition in zip(axes, conditions, strict=False):
            panel = replace(words, rates_title=condition)
            for index, agent in enumerate(agents):
                own = [s for s in summaries if (s.label, s.condition) == (agent, condition)]
                own = [replace(s, rate=s.train_rate or 0.0) for s in own]
                _draw_rates(axis, own, agent, index, panel)
        for axis in axes[::columns]:
            axis.set_ylabel(words.score)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(agents), 7))
        figure.suptitle(title)
    return figure


def training_figure(
    pretraining: Mapping[str, NDArray[np.float64]],
    rewards: Mapping[str, NDArray[np.float64]],
    *,
    title: str,
    reference: Mapping[str, float] | None = None,
    score: str = REWARD_PER_STEP,
) -> Figure:
    """How the losses of pretraining and the reward of the policy went.

    Args:
        pretraining: `step` and the terms of the loss by name, of the same length; may be empty.
        rewards: `timesteps` and the score of finished episodes, of the same length; may be empty.
        title: Above the plot.
        reference: Scores of known policies by name, drawn as lines.
        score: Which score is drawn, one of `SCORE_NAMES`.
    """
    with _style():
        figure, axes = _figure(2 if pretraining else 1)
        if pretraining:
            _draw_losses(axes[0], pretraining)
        axis = axes[-1]
        nothing = np.empty(0)  # where no episode was finished
        timesteps, reward = rewards.get("timesteps", nothing), rewards.get(score, nothing)
        axis.plot(
            timesteps, reward, ".", color=COLOURS[0], alpha=0.35, markersize=4, label="episode"
        )
        times, counts = np.unique(timesteps, return_counts=True)
        sums = np.array([reward[timesteps == time].sum() for time in times])
        window = max(1, len(times) // 20)
        smooth = _running_mean(sums, window) / _running_mean(counts.astype(np.float64), window)
        axis.plot(times, smooth, color=COLOURS[1], linewidth=1.8, label="running mean")
        for index, (name, value) in enumerate((reference or {}).items()):
            _reference_line(axis, name, value, index)
        axis.set(
            xlabel="environment steps",
            ylabel=SCORE_NAMES[score],
            title="policy, while it explores",
        )
        axis.legend(loc="best")
        figure.suptitle(title)
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()


def to_pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure as RGB, (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def _style() -> Iterator[None]:
    with rc_context(_STYLE):  # type: ignore[arg-type]
        yield


def _figure(
    panels: int, widths: Sequence[float] | None = None, height: float = 4.2
) -> tuple[Figure, list[Axes]]:
    # Not pyplot: it keeps every figure, and asks for a display.
    figure = Figure(figsize=(1.4 + 4.4 * panels, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, width_ratios=widths or [1.0] * panels)
    return figure, list(axes[0])


def _draw_subsets(
    axis: Axes, part: Sequence[Summary], agent: str, index: int, agents: int, listed: bool
) -> None:
    """Side by side, or `listed` from top to bottom."""
    place = np.arange(len(part)) + (index - (agents - 1) / 2) * min(0.22, 0.7 / agents)
    mean, low, high = _values(part)
    error = [np.maximum(mean - low, 0), np.maximum(high - mean, 0)]
    axis.errorbar(
        mean if listed else place,
        place if listed else mean,
        xerr=error if listed else None,
        yerr=None if listed else error,
        fmt=MARKERS[index % len(MARKERS)],
        color=COLOURS[index % len(COLOURS)],
        markersize=5 if listed else 7,
        capsize=2 if listed else 4,
        linewidth=1.8,
        label=agent if part else None,
    )
    if agents == 1 and not listed:
        for x, y, bottom in zip(place, mean, low, strict=True):
            # Below the interval: reference lines of good policies run close above.
            text = axis.annotate(
                f"{y:.2f}", (float(x), float(bottom)), xytext=(0, -6), textcoords="offset points"
            )
            text.set(verticalalignment="top", horizontalalignment="center")


def _must_be_listed(conditions: Sequence[str]) -> bool:
    """Whether labels side by side would touch."""
    longest = max((len(name) for c in conditions for name in c.split("+")), default=0)
    return len(conditions) * (longest + len(" +")) * LETTER_WIDTH > SUBSETS_WIDTH


def _name_subsets(axis: Axes, conditions: Sequence[str], words: Words, listed: bool) -> None:
    names = [c.replace("+", " + " if listed else " +\n") for c in conditions]
    places, ends = np.arange(len(conditions)), (-0.6, len(conditions) - 0.4)
    axis.set_title(words.subsets_title)
    if listed:
        axis.set_yticks(places, names, size=9)
        axis.set_ylim(*reversed(ends))
        axis.grid(visible=False, axis="y")
    else:
        axis.set_xticks(places, names)
        axis.set_xlim(*ends)
        axis.grid(visible=False, axis="x")
        axis.set_xlabel(words.subsets)


def _draw_rates(axis: Axes, part: Sequence[Summary], agent: str, index: int, words: Words) -> None:
    part = sorted(part, key=lambda s: s.rate)
    rate = np.array([100 * s.rate for s in part])
    mean, low, high = _values(part)
    colour = COLOURS[index % len(COLOURS)]
    axis.fill_between(rate, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(
        rate,
        mean,
        color=colour,
        marker=MARKERS[index % len(MARKERS)],
        markersize=5,
        linewidth=1.8,
        label=agent if part else None,
    )
    axis.set(xlabel=words.rates, title=words.rates_title)


def _draw_losses(axis: Axes, losses: Mapping[str, NDArray[np.float64]]) -> None:
    names = [name for name in losses if name != "step"]
    for index, name in enumerate(names):
        values = losses[name]
        window = max(1, len(values) // 50)
        axis.plot(
            losses["step"],
            _running_mean(values, window),
            color=COLOURS[index % len(COLOURS)],
            linewidth=1.8 if name == "loss" else 1.2,
            label="sum" if name == "loss" else name,
        )
    axis.set(xlabel="optimisation steps", ylabel="loss", title="encoder, pretraining")
    axis.legend(loc="upper right")


def _values(
    part: Sequence[Summary],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    found = [(s.mean, s.ci_low, s.ci_high) for s in part]
    centre, low, high = (np.array(column) for column in zip(*found, strict=True))
    return centre, low, high


def _share_limits(
    axes: Sequence[Axes],
    summaries: Sequence[Summary],
    reference: Mapping[str, float],
    listing: Axes | None,
) -> None:
    """One range of scores for all panels, which are their heights but in the `listing`.

    Far-away references do not squeeze the results.
    """
    low = min(min(s.ci_low, s.mean) for s in summaries)
    high = max(max(s.ci_high, s.mean) for s in summaries)
    reach = max(high - low, 0.15 * abs(low), 1e-3)
    near = [v for v in reference.values() if low - 2 * reach <= v <= high + 2 * reach]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.12 * max(high - low, reach)
    for axis in axes:
        if axis is listing:
            axis.set_xlim(low - margin, high + margin)
            for index, (name, value) in enumerate(reference.items()):
                if value in near:
                    _upright_line(axis, "" if len(axes) > 1 else name, value, index)
            continue
        axis.set_ylim(low - margin, high + margin)
        for index, (name, value) in enumerate(reference.items()):
            if value in near:
                _reference_line(axis, name, value, index)
    if far := {name: value for name, value in reference.items() if value not in near}:
        text = ", ".join(f"{name} {value:g}" for name, value in far.items())
        axes[-1].text(
            0.99,
            0.02,
            f"beyond the axis: {text}",
            transform=axes[-1].transAxes,
            ha="right",
            fontsize=8,
            color="#555555",
        )


def _reference_line(axis: Axes, name: str, value: float, index: int) -> None:
    axis.axhline(value, color="#555555", linestyle=_dashes(index), linewidth=1.2)
    axis.annotate(
        f"{name} {value:g}",
        (1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color="#555555",
    )


def _upright_line(axis: Axes, name: str, value: float, index: int) -> None:
    axis.axvline(value, color="#555555", linestyle=_dashes(index), linewidth=1.2)
    if name:
        axis.annotate(
            f"{name} {value:g}",
            (value, 0.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 4),
            textcoords="offset points",
            ha="right",
            rotation=90,
            fontsize=8,
            color="#555555",
        )


def _dashes(index: int) -> str:
    return ("--", ":", "-.")[index % 3]


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean of the last `window` values, of fewer at the start."""
    sums = np.cumsum(np.insert(np.asarray(values, np.float64), 0, 0.0))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    result: NDArray[np.float64] = (sums[end] - sums[start]) / (end - start)
    return result
