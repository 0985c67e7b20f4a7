"""Intervals of means against closed forms and a simulation of what they cover."""

import numpy as np
import pytest
from scipy import stats

from mmrl.metrics.intervals import interval_is_over, mean_interval


def test_interval_of_one_seed_is_about_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = mean_interval([values], seed=1)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_interval_over_seeds_is_students_of_their_means(seeds: int, confidence: float) -> None:
    rng = np.random.default_rng(seeds)
    samples = [rng.exponential(size=size) for size in rng.integers(1, 20, seeds)]
    means = [sample.mean() for sample in samples]
    expected = stats.ttest_1samp(means, 0.0).confidence_interval(confidence)
    assert mean_interval(samples, confidence=confidence) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_over_seeds_cover_what_they_promise(seeds: int, skewed: bool) -> None:
    rng = np.random.default_rng(seeds)
    level = rng.normal(size=(2000, seeds, 1))
    shape = (2000, seeds, 20)
    noise = rng.exponential(2.0, size=shape) - 2.0 if skewed else rng.normal(size=shape)
    covered = 0
    for samples in level + noise:
        low, high = mean_interval(list(samples))
        covered += low <= 0.0 <= high
    assert 0.93 <= covered / 2000 <= 0.97


def test_interval_depends_on_the_seed_only() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert mean_interval([values], seed=5) == mean_interval([values], seed=5)
    assert mean_interval([values], seed=5) != mean_interval([values], seed=6)


def test_captions_say_what_an_interval_is_over() -> None:
    assert [interval_is_over(seeds) for seeds in (1, 2, 5)] == ["episodes", "seeds", "seeds"]


@pytest.mark.parametrize("samples", [[], [np.empty(0)], [np.ones(3), np.empty(0)]])
def test_nothing_has_no_interval(samples: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="at least one seed and one episode"):
        mean_interval(samples)
