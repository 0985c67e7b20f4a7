"""Faults of data sets."""

from typing import Any

import numpy as np
import pytest

from mmrl_envs.faults import expected_rates, make_faults
from mmrl_envs.faults.samples import sample_available

CHANNELS = ["image", "sound", "touch"]


@pytest.mark.parametrize(
    ("spec", "length"),
    [
        ({"pattern": "bernoulli", "rate": 0.3}, 1),
        ({"pattern": "episode", "rate": 0.4}, 1),
        ({"pattern": "episode", "rate": 0.4}, 10),
        ({"pattern": "burst", "outage": 4, "uptime": 8}, 50),
        ({"pattern": "permanent", "start": 6}, 10),
        ({"pattern": "fixed", "channels": ["touch"]}, 1),
    ],
)
def test_realised_rates_are_the_nominal_ones(spec: dict[str, Any], length: int) -> None:
    faults = make_faults([spec])
    options: dict[str, Any] = {"seed": 0, "episode_length": length, "keep_at_least": 0}
    available = sample_available(faults, CHANNELS, 12_000, **options)
    nominal = expected_rates(faults, CHANNELS, length)
    np.testing.assert_allclose(1 - available.mean(axis=0), list(nominal.values()), atol=0.03)


def test_seeds_decide_and_more_samples_leave_the_first_ones() -> None:
    faults = make_faults([{"pattern": "burst", "outage": 3, "uptime": 3}])
    few = sample_available(faults, CHANNELS, 101, seed=1, episode_length=20)
    many = sample_available(faults, CHANNELS, 900, seed=1, episode_length=20)
    np.testing.assert_array_equal(few, many[:101])
    assert np.any(few != sample_available(faults, CHANNELS, 101, seed=2, episode_length=20))


def test_keep_at_least() -> None:
    faults = make_faults([{"pattern": "bernoulli", "rate": 0.9}])
    for keep in (0, 1, 3):
        available = sample_available(faults, CHANNELS, 2000, seed=0, keep_at_least=keep)
        assert available.sum(axis=1).min() == keep


def test_no_samples() -> None:
    assert sample_available([], CHANNELS, 0, seed=0).shape == (0, 3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"pattern": "bernoulli", "rate": 0.3, "announced": False},
            "announced faults in time only",
        ),
        ({"pattern": "bernoulli", "rate": 0.3, "mechanism": "freeze"}, "announced faults in time"),
        ({"pattern": "state", "condition": "numpy:isnan"}, "announced faults in time only"),
        ({"pattern": "fixed", "channels": ["smell"]}, r"no channels \['smell'\]"),
    ],
)
def test_what_makes_nothing_missing_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_available(make_faults([spec]), CHANNELS, 10, seed=0)
