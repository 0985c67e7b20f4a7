"""What faults do to values: mechanisms that remember."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.faults import MECHANISMS
from mmrl_envs.faults.mechanisms import Effect, Moment

COUNTER = spaces.Box(0.0, 1000.0, (2,), np.float64)
CAMERA = spaces.Box(0, 255, (2, 20, 30), np.uint8)


def effect(name: str, space: spaces.Space[Any], count: int = 1, **arguments: Any) -> Effect:
    return MECHANISMS[name](**arguments).effect("channel", space, count)


def play(stage: Effect, down: Sequence[bool], *, first: int = 0, seed: int = 0) -> list[float]:
    """Let a counter that starts at 100 run through an episode; return what arrives."""
    generators = [np.random.default_rng(seed)]
    arrived = []
    for age, faulty in enumerate(down):
        values = np.full((1, 2), 100.0 + age + first)
        moment = Moment(np.array([faulty]), np.array([age]), slice(None), generators)
        delivered = stage.apply(values, moment)
        assert delivered[0, 0] == delivered[0, 1]
        arrived.append(float(delivered[0, 0]))
        delivered[:] = -1  # what was delivered belongs to the caller
        values[:] = -1
    return arrived


def test_freeze_repeats_the_last_healthy_value() -> None:
    stage = effect("freeze", COUNTER)
    assert play(stage, [False, False, True, True, False, True]) == [100, 101, 101, 101, 104, 104]


def test_freeze_from_the_start_repeats_the_first_value_of_this_episode() -> None:
    stage = effect("freeze", COUNTER)
    assert play(stage, [True, True, False, True]) == [100, 100, 102, 102]
    assert play(stage, [True, True], first=50) == [150, 150]


def test_delay_delivers_the_past_of_this_episode() -> None:
    stage = effect("delay", COUNTER, steps=2)
    assert play(stage, [True] * 5) == [100, 100, 100, 101, 102]
    assert play(stage, [False, True, True, True, False], first=50) == [150, 150, 150, 151, 154]


def test_jitter_spreads_the_delay() -> None:
    stage = effect("delay", COUNTER, steps=3, jitter=2)
    late = np.arange(300) + 100 - np.array(play(stage, [True] * 300))
    assert set(late[10:].tolist()) == {1, 2, 3, 4, 5}
    assert late[10:].mean() == pytest.approx(3, abs=0.25)


def test_drift_grows_through_an_outage_and_starts_anew() -> None:
    stage = effect("drift", COUNTER, strength=0.01)
    drifts = [0, 10, 20, 0, 10]
    expected = [100 + age + drift for age, drift in enumerate(drifts)]
    assert play(stage, [False, True, True, False, True]) == expected
    assert play(stage, [True, True]) == [110, 121]


def test_drift_stays_within_bounds() -> None:
    assert play(effect("drift", COUNTER, strength=-0.06), [True] * 3) == [40, 0, 0]


def cover(stage: Effect, steps: int, space: spaces.Box = CAMERA, seed: int = 0) -> NDArray[Any]:
    """Which pixels of a white image are dark in one outage."""
    generators = [np.random.default_rng(seed)]
    frames = []
    for age in range(steps):
        moment = Moment(np.array([True]), np.array([age]), slice(None), generators)
        frames.append(stage.apply(np.full((1, *space.shape), 255, np.uint8), moment)[0] == 0)
    return np.array(frames)


def test_occlusion_covers_one_rectangle_for_as_long_as_the_outage_lasts() -> None:
    dark = cover(effect("occlusion", CAMERA, size=0.5), 3)
    np.testing.assert_array_equal(dark[0], dark[2])
    np.testing.assert_array_equal(dark[0, 0], dark[0, 1])  # every frame of the stack
    rows, columns = np.nonzero(dark[0, 0])
    assert len(rows) == 10 * 15
    assert [np.ptp(rows) + 1, np.ptp(columns) + 1] == [10, 15]


def test_occlusion_places_are_drawn_for_each_outage() -> None:
    stage = effect("occlusion", CAMERA, size=0.2)
    generator = [np.random.default_rng(0)]
    corners = set()
    white = np.full((1, *CAMERA.shape), 255, np.uint8)
    for step in range(600):  # every second step is healthy
        moment = Moment(np.array([step % 2 == 0]), np.array([step]), slice(None), generator)
        dark = stage.apply(white, moment)[0, 0] == 0
        if step % 2 == 0:
            corners.add(tuple(np.argwhere(dark)[0].tolist()))
        else:
            assert not dark.any()
    assert {row for row, _ in corners} == set(range(17))
    assert {column for _, column in corners} == set(range(25))


def test_occlusion_understands_colours_last_and_gray_images() -> None:
    for shape in ((20, 30, 3), (20, 30)):
        space = spaces.Box(0, 255, shape, np.uint8)
        dark = cover(effect("occlusion", space, size=0.5), 1, space)[0]
        assert dark.sum() == 150 * (3 if len(shape) == 3 else 1)


def test_environments_do_not_mix() -> None:
    """The middle one of three is stuck, in calls for any of them."""
    stage = effect("freeze", COUNTER, count=3)
    down = np.array([False, True, False])
    for age in range(3):
        values = np.arange(3.0)[:, None] + np.array([[10.0 * age] * 2])
        for rows in (np.array([2, 0]), np.array([1])):
            moment = Moment(down[rows], np.full(len(rows), age), rows, [])
            arrived = stage.apply(values[rows], moment)
            expected = np.where(down[rows, None], 1.0, values[rows])
            np.testing.assert_array_equal(arrived, expected)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("delay", {"steps": 0}, "steps must be at least 1, got 0"),
        ("delay", {"steps": 2, "jitter": 3}, "jitter must be from 0 to 2, got 3"),
        ("drift", {"strength": 0.0}, "absolute value of strength"),
        ("drift", {"strength": 0.1, "scale": 0}, "scale must be finite and greater than 0"),
        ("occlusion", {"size": 0.0}, "size must be finite and greater than 0"),
        ("occlusion", {"size": 2}, "size must be within"),
    ],
)
def test_bad_arguments_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MECHANISMS[name](**arguments)


@pytest.mark.parametrize("shape", [(40,), (2, 3, 2), (7, 30), (2, 2, 30, 30)])
def test_occlusion_of_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"needs an image of at least 8 x 8 .* 'channel' has shape"
    ):
        effect("occlusion", spaces.Box(0.0, 1.0, shape), size=0.3)


def test_drift_without_bounds_needs_a_scale() -> None:
    endless = spaces.Box(-np.inf, np.inf, (2,))
    with pytest.raises(ValueError, match="give the fault a 'scale'"):
        effect("drift", endless, strength=0.1)
