"""Plots hold what they are given, in readable sizes."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mmrl.report.plots import (
    COLOURS,
    Words,
    curves_figure,
    robustness_figure,
    to_pixels,
    to_png,
    training_figure,
)
from mmrl.report.results import BERNOULLI, RETURN, REWARD_PER_STEP, Summary
from mmrl.subsets import subsets

BASE = Summary("gmc", "image+sound", 0.0, 0.0, REWARD_PER_STEP, 1, 10, -0.5, 0.1, -0.55, -0.45)
REFERENCE = {"optimum": -0.46, "random": -6.11}


def summaries(agents: tuple[str, ...] = ("gmc",)) -> list[Summary]:
    conditions = [("image+sound", 0.0), ("image", 0.0), ("sound", 0.0)]
    conditions += [(BERNOULLI, rate / 10) for rate in range(10)]
    return [
        replace(BASE, label=agent, condition=name, rate=rate)
        for agent in agents
        for name, rate in conditions
    ]


def test_subsets_and_rates_have_a_panel_each() -> None:
    figure = robustness_figure(summaries(), title="t", reference=REFERENCE)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_xticklabels()] == ["image +\nsound", "image", "sound"]
    assert right.lines[0].get_xdata()[-1] == pytest.approx(90)  # type: ignore[index]
    assert "per step" in left.get_ylabel()
    assert "%" in right.get_xlabel()


@pytest.mark.parametrize(
    "names",
    [("image", "sound"), ("image", "sound", "trajectory"), ("camera", "goal", "grip", "imu")],
)
@pytest.mark.parametrize("agents", [("a",), ("a", "b", "c", "d")])
def test_labels_of_subsets_do_not_touch(names: tuple[str, ...], agents: tuple[str, ...]) -> None:
    points = [
        replace(BASE, label=agent, condition="+".join(subset))
        for agent in agents
        for subset in subsets(names)
    ]
    rates = [s for s in summaries(agents) if s.condition == BERNOULLI]
    figure = robustness_figure([*points, *rates], title="t", reference=REFERENCE)
    FigureCanvasAgg(figure).draw()
    panel = figure.axes[0]
    listed = len(names) > 2
    labels = panel.get_yticklabels() if listed else panel.get_xticklabels()
    assert [label.get_text().replace("\n", " ").split(" + ") for label in labels] == [
        list(subset) for subset in subsets(names)
    ]
    boxes = [label.get_window_extent() for label in labels]
    for one, other in pairwise(boxes):
        assert not one.overlaps(other)
    assert "per step" in (panel.get_xlabel() if listed else panel.get_ylabel())


def test_a_list_of_subsets_reads_from_the_top_and_shows_every_interval() -> None:
    names = subsets(("camera", "goal", "grip", "imu"))
    points = [
        replace(BASE, condition="+".join(name), mean=float(-i), ci_low=-i - 0.25, ci_high=-i + 0.5)
        for i, name in enumerate(names)
    ]
    (panel,) = robustness_figure(points, title="t").axes
    bottom, top = panel.get_ylim()
    assert top < 0 < len(names) - 1 < bottom
    low, high = panel.get_xlim()
    assert low < -len(names) + 1 - 0.25
    assert high > 0.5
    (container,) = panel.containers
    (bars,) = container[2]
    spans = np.array([[start[0], end[0]] for start, end in bars.get_segments()])
    np.testing.assert_allclose(spans, [[-i - 0.25, -i + 0.5] for i in range(len(names))])


def test_one_rate_is_a_condition_beside_the_others_and_no_curve_of_one_point() -> None:
    points = [s for s in summaries(("a", "b")) if s.condition != BERNOULLI or s.rate == 0.3]
    (axis,) = robustness_figure(points, title="t").axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[-1] == "each missing 30%"
    assert axis.get_title() == "some sensors never work, or fail otherwise"


def test_bursts_do_not_stand_under_sensors_that_never_work() -> None:
    bursts = replace(BASE, condition="bursts")
    left, _ = robustness_figure([*summaries(), bursts], title="t").axes
    assert left.get_title() == "some sensors never work, or fail otherwise"
    left, _ = robustness_figure(summaries(), title="t").axes
    assert left.get_title() == "some sensors never work"


def test_rates_alone_fill_the_figure() -> None:
    rates = [s for s in summaries() if s.condition == BERNOULLI]
    assert len(robustness_figure(rates, title="t").axes) == 1


def test_far_references_do_not_squeeze_the_results() -> None:
    figure = robustness_figure(summaries(), title="t", reference=REFERENCE)
    low, high = figure.axes[0].get_ylim()
    assert low > -1.0
    assert low < -0.46 < high
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert any("random -6.11" in text for text in texts)


def test_every_agent_has_its_colour_and_name() -> None:
    figure = robustness_figure(summaries(("a", "b", "c")), title="t")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
    assert len(set(COLOURS)) == len(COLOURS)


def test_curves_have_a_panel_for_each_condition_in_rows_that_fit() -> None:
    names = [f"subset {i}" for i in range(7)]
    points = [
        replace(BASE, label=agent, condition=name, train_rate=rate)
        for agent in ("a", "b")
        for name in names
        for rate in (0.0, 0.5)
    ]
    figure = curves_figure(points, title="t", words=Words(score="accuracy"))
    assert [axis.get_title() for axis in figure.axes] == names
    assert all(len(axis.lines) == 2 for axis in figure.axes)
    width, height = figure.get_size_inches()
    assert width < 3 * height
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_training_curves_with_and_without_pretraining() -> None:
    steps = np.arange(100.0)
    rewards = {"timesteps": steps, "reward_per_step": -steps / 50}
    pretraining = {"step": steps, "loss": steps, "image": steps, "sound": steps}
    both = training_figure(pretraining, rewards, title="t", reference=REFERENCE)
    assert len(both.axes) == 2
    assert len(training_figure({}, rewards, title="t").axes) == 1


def test_returns_can_be_drawn_instead() -> None:
    steps = np.arange(100.0)
    columns = {"timesteps": steps, "reward_per_step": steps, "return": 10 * steps}
    (axis,) = training_figure({}, columns, title="t", score=RETURN).axes
    assert axis.get_ylabel() == "return"
    assert np.max(axis.lines[0].get_ydata()) == 990
    returns = [replace(s, metric=RETURN) for s in summaries()]
    assert "return" in robustness_figure(returns, title="t").axes[0].get_ylabel()


def test_the_running_mean_has_one_value_where_several_episodes_end() -> None:
    frames = np.array([100.0, 100.0, 100.0, 200.0])
    rewards = np.array([1.0, 2.0, 6.0, 5.0])
    (axis,) = training_figure({}, {"timesteps": frames, "reward_per_step": rewards}, title="t").axes
    episodes, mean = axis.lines[:2]
    assert len(np.asarray(episodes.get_xdata())) == 4
    np.testing.assert_allclose(np.asarray(mean.get_xydata()), [[100, 3], [200, 5]])


def test_training_without_a_finished_episode_is_drawn() -> None:
    assert to_png(training_figure({}, {}, title="t", reference=REFERENCE))


def test_png_is_an_image_of_readable_size() -> None:
    content = to_png(robustness_figure(summaries(), title="t", reference=REFERENCE))
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    assert image.width >= 1000


def test_pixels_are_rgb() -> None:
    pixels = to_pixels(robustness_figure(summaries(), title="t"))
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert pixels.std() > 0


def test_the_rates_of_the_whole_are_a_curve_and_its_complete_test_a_subset() -> None:
    names = ("image+sound", "image", "sound")
    points = [replace(BASE, condition=name) for name in names]
    points += [replace(BASE, rate=rate) for rate in (0.3, 0.6)]
    left, right = robustness_figure(points, title="t", curve=names[0]).axes
    shown = [t.get_text().replace(" +\n", "+") for t in left.get_xticklabels()]
    assert shown == list(names)
    np.testing.assert_allclose(np.asarray(right.lines[0].get_xdata()), [0, 30, 60])
    assert len(robustness_figure(points[:3], title="t", curve=names[0]).axes) == 1


def test_one_method_at_several_training_rates_is_as_many_lines() -> None:
    points = [replace(s, train_rate=rate) for rate in (0.0, 0.5) for s in summaries()]
    (legend,) = robustness_figure(points, title="t").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "gmc, trained at 0%",
        "gmc, trained at 50%",
    ]
