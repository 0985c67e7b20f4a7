"""Intervals and interquartile means against closed forms and plain loops."""

import numpy as np
import pytest
from scipy import stats

from mmrl.metrics.intervals import bootstrap_interval, interquartile_mean


@pytest.mark.parametrize("n", [4, 8, 40])
def test_iqm_is_the_trimmed_mean_where_quarters_are_whole(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(3, n))
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=1))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 10])
def test_iqm_of_any_number_of_values_is_that_of_four_copies(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(np.repeat(values, 4), 0.25))


def test_interval_of_one_seed_is_about_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval([values], np.random.default_rng(1))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_over_seeds_covers_their_spread() -> None:
    seeds = [np.full(50, level) for level in (0.0, 1.0, 2.0, 3.0)]
    low, high = bootstrap_interval(seeds, np.random.default_rng(0))
    assert low < 0.9
    assert high > 2.1
    narrow = bootstrap_interval(seeds, np.random.default_rng(0), confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_interval_depends_on_the_generator_only() -> None:
    values = np.random.default_rng(0).normal(size=30)
    a, b = (bootstrap_interval([values], np.random.default_rng(5)) for _ in range(2))
    assert a == b


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one seed and one episode"):
        bootstrap_interval([np.empty(0)], np.random.default_rng(0))
