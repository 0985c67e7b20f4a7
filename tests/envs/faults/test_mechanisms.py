"""What faults do to values: mechanisms without memory."""

import math
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from mmrl_envs.faults import MECHANISMS
from mmrl_envs.faults.mechanisms import Mechanism, Moment

COUNT = 4
ALL = slice(None)
CAMERA = spaces.Box(0, 255, (10, 12), np.uint8)
GAUGE = spaces.Box(-10.0, 10.0, (3,), np.float32)
DEPTH = spaces.Box(5.0, 9.0, (3,), np.float32)
OPEN = spaces.Box(-np.inf, np.inf, (3,), np.float64)


def deliver(
    mechanism: Mechanism, space: spaces.Space[Any], values: NDArray[Any], seed: int = 0
) -> NDArray[Any]:
    """Faults in environments 1 and 3 of four."""
    down = np.array([False, True, False, True])
    generators = [np.random.default_rng([seed, index]) for index in range(COUNT)]
    moment = Moment(down, np.full(COUNT, 5), ALL, generators if mechanism.random else [])
    before = values.copy()
    delivered = mechanism.effect("channel", space, COUNT).apply(values, moment)
    np.testing.assert_array_equal(values, before)  # the input stays untouched
    assert delivered.dtype == values.dtype
    np.testing.assert_array_equal(delivered[[0, 2]], values[[0, 2]])
    return np.asarray(delivered[[1, 3]])


def constant(space: spaces.Box, value: float) -> NDArray[Any]:
    return np.full((COUNT, *space.shape), value, space.dtype)


def make(name: str, **arguments: Any) -> Mechanism:
    return MECHANISMS[name](**arguments)


def test_blackout_delivers_zeros_and_nan_delivers_nan() -> None:
    assert not deliver(make("blackout"), GAUGE, constant(GAUGE, 3)).any()
    assert np.isnan(deliver(make("nan"), GAUGE, constant(GAUGE, 3))).all()


def test_only_blackouts_are_announced_by_nature() -> None:
    assert [name for name, kind in MECHANISMS.items() if kind.announces] == ["blackout"]


@pytest.mark.parametrize(("bound", "scale", "span"), [(10.0, None, 20.0), (np.inf, 8, 8.0)])
def test_noise_has_a_deviation_in_units_of_the_range(
    bound: float, scale: int | None, span: float
) -> None:
    space = spaces.Box(-bound, bound, (4000,), np.float64)
    noise = make("noise", strength=0.05, scale=scale)
    errors = deliver(noise, space, constant(space, 1.0)) - 1.0
    assert np.std(errors) == pytest.approx(0.05 * span, rel=0.05)
    assert np.mean(errors) == pytest.approx(0.0, abs=0.05)


def test_noise_on_integers_is_rounded_and_stays_within_bounds() -> None:
    delivered = deliver(make("noise", strength=0.5), CAMERA, constant(CAMERA, 250))
    assert delivered.max() == 255
    assert delivered.min() < 200


def test_noise_differs_between_environments() -> None:
    first, second = deliver(make("noise", strength=0.1), GAUGE, constant(GAUGE, 0.0))
    assert np.all(first != second)


def test_salt_and_pepper_moves_a_share_of_the_values_to_the_bounds() -> None:
    space = spaces.Box(0, 255, (100, 120), np.uint8)
    delivered = deliver(make("salt_and_pepper", share=0.3), space, constant(space, 7))
    assert (delivered == 0).mean() == pytest.approx(0.15, abs=0.015)
    assert (delivered == 255).mean() == pytest.approx(0.15, abs=0.015)
    assert (delivered == 7).mean() == pytest.approx(0.7, abs=0.015)


@pytest.mark.parametrize(("low", "extremes"), [(-np.inf, {-4.0, 0.5, 4.0}), (0.0, {0.0, 0.5, 4.0})])
def test_salt_and_pepper_has_a_scale_where_there_are_no_bounds(
    low: float, extremes: set[float]
) -> None:
    space = spaces.Box(low, np.inf, (200,), np.float64)
    speckled = make("salt_and_pepper", share=0.5, scale=4)
    assert set(deliver(speckled, space, constant(space, 0.5)).flat) == extremes


@pytest.mark.parametrize(
    ("space", "arguments", "value", "expected"),
    [
        (GAUGE, {"strength": 0.1}, 1.0, 3.0),
        (GAUGE, {"strength": -0.1}, 1.0, -1.0),
        (GAUGE, {"strength": 0.5}, 5.0, 10.0),
        (GAUGE, {"strength": 1, "scale": 3}, 1.0, 4.0),
        (OPEN, {"strength": 0.5, "scale": 3}, 1.0, 2.5),
        (CAMERA, {"strength": 0.01}, 100, 103),
    ],
)
def test_bias_adds_a_share_of_the_range(
    space: spaces.Box, arguments: dict[str, Any], value: float, expected: float
) -> None:
    assert np.all(deliver(make("bias", **arguments), space, constant(space, value)) == expected)


@pytest.mark.parametrize(
    ("space", "arguments", "value", "expected"),
    [
        (GAUGE, {"limit": 0.3}, 8.0, 3.0),
        (GAUGE, {"limit": 0.3}, -8.0, -3.0),
        (GAUGE, {"limit": 0.3}, 2.0, 2.0),
        (CAMERA, {"limit": 0.4}, 200, 102),
        (DEPTH, {"limit": 0.5}, 8.0, 7.0),
        (DEPTH, {"limit": 0.5}, 5.5, 5.5),
        (OPEN, {"limit": 0.5, "scale": 4}, -9.0, -2.0),
    ],
)
def test_saturation_stops_short_of_the_bounds(
    space: spaces.Box, arguments: dict[str, Any], value: float, expected: float
) -> None:
    delivered = deliver(make("saturation", **arguments), space, constant(space, value))
    np.testing.assert_allclose(delivered, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("noise", {"strength": 0.0}, "strength must be finite and greater than 0"),
        ("noise", {"strength": 0.1, "scale": -1}, "scale must be finite and greater than 0"),
        ("salt_and_pepper", {"share": 1.5}, r"share must be within \[0, 1\]"),
        ("salt_and_pepper", {"share": 0}, "greater than 0"),
        ("salt_and_pepper", {"share": 0.5, "scale": 0}, "scale must be finite and greater than 0"),
        ("bias", {"strength": 0}, "absolute value of strength"),
        ("bias", {"strength": math.nan}, "absolute value of strength"),
        ("saturation", {"limit": 0.0}, "limit must be finite and greater than 0"),
        ("saturation", {"limit": 1.2}, "limit must be within"),
    ],
)
def test_bad_arguments_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "space", "message"),
    [
        (
            "noise",
            {"strength": 0.1},
            OPEN,
            "'eye' has no finite bounds .* give the fault a 'scale'",
        ),
        ("salt_and_pepper", {"share": 0.1}, OPEN, "'eye' has no finite bounds"),
        ("bias", {"strength": 0.1}, spaces.Discrete(4), "bias needs a Box channel, 'eye' is Disc"),
        ("saturation", {"limit": 0.1}, spaces.MultiBinary(4), "saturation needs a Box channel"),
        ("nan", {}, CAMERA, "nan needs a channel of floats, 'eye' is"),
    ],
)
def test_unfit_channels_are_refused(
    name: str, arguments: dict[str, Any], space: spaces.Space[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, **arguments).effect("eye", space, 2)
