from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrl.data import masks

N = 60_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def given_one_stays(keep: NDArray[np.float64]) -> dict[tuple[bool, ...], float]:
    """Probability of each pattern of independent draws, given that it is not empty."""
    patterns = [p for p in product((False, True), repeat=len(keep)) if any(p)]
    weights = [np.prod(np.where(p, keep, 1 - keep)) for p in patterns]
    return {p: float(w / sum(weights)) for p, w in zip(patterns, weights, strict=True)}


@pytest.mark.parametrize(
    "rates", [(0.3, 0.3), (0.5, 0.5), (0.1, 0.8, 0.6), (0.0, 0.9), (0.6, 0.6, 0.6), (0.9, 0.1)]
)
def test_bernoulli_has_the_rates_and_leaves_one(rates: tuple[float, ...]) -> None:
    stay = masks.bernoulli(np.tile(rates, (N, 1)), rng())
    assert stay.any(axis=1).all()
    np.testing.assert_allclose(1 - stay.mean(axis=0), rates, atol=0.01)


def test_bernoulli_draws_are_independent_given_that_one_stays() -> None:
    """The patterns' frequencies are those of independent draws without the empty pattern."""
    rates = np.array([0.3, 0.5, 0.6])
    stay = masks.bernoulli(np.tile(rates, (N, 1)), rng())
    # The odds of staying are found from the closed form by a naive search.
    grid = np.linspace(1e-6, 1, 100_001)[:, None]
    s = grid[np.argmin(abs(1 - np.prod(1 - (1 - rates) * grid, axis=1) - grid[:, 0])[1:]) + 1]
    for pattern, probability in given_one_stays((1 - rates) * s).items():
        assert np.mean((stay == pattern).all(axis=1)) == pytest.approx(probability, abs=0.01)


def test_bernoulli_without_a_limit_is_plain_independence() -> None:
    stay = masks.bernoulli(np.tile([0.0, 0.4, 0.7], (N, 1)), rng())
    assert stay[:, 0].all()
    assert np.mean(stay[:, 1] & stay[:, 2]) == pytest.approx(0.6 * 0.3, abs=0.01)


@pytest.mark.parametrize("rate", [0.7, 0.9, 1.0])
def test_rates_that_leave_less_than_one_leave_one(rate: float) -> None:
    stay = masks.bernoulli(np.full((N, 3), rate), rng())
    assert (stay.sum(axis=1) == 1).all()
    np.testing.assert_allclose(stay.mean(axis=0), 1 / 3, atol=0.01)


def test_bernoulli_takes_rates_per_sample() -> None:
    rates = np.concatenate([np.full((N, 2), 0.1), np.full((N, 2), 0.4)])
    stay = masks.bernoulli(rates, rng())
    np.testing.assert_allclose(1 - stay[:N].mean(axis=0), 0.1, atol=0.01)
    np.testing.assert_allclose(1 - stay[N:].mean(axis=0), 0.4, atol=0.01)


def test_a_quota_is_exact_per_class() -> None:
    strata = np.repeat(np.arange(10), 105)
    rows = masks.quota(strata, 1 - 21 / 105, rng())
    assert np.bincount(strata[rows]).tolist() == [84] * 10
    assert not masks.quota(strata, 0.0, rng()).any()
    halves = np.bincount(
        np.repeat(np.arange(10), 95)[masks.quota(np.repeat(np.arange(10), 95), 0.9, rng())]
    )
    assert halves.sum() == 855
    assert set(halves.tolist()) == {85, 86}


@pytest.mark.parametrize("rate", masks.DICMOR_SHARES)
def test_dicmor_is_two_a_plus_b(rate: float) -> None:
    two, one = masks.DICMOR_SHARES[rate]
    assert 2 * two + one == pytest.approx(3 * rate if rate < 0.7 else 2)
    stay = masks.dicmor(1000, 3, rate, rng())
    counts = np.bincount(3 - stay.sum(axis=1), minlength=3)
    assert counts.tolist() == [1000 - round(1000 * two) - round(1000 * one), 1000 * one, 1000 * two]
    assert 1 - stay.mean() == pytest.approx(min(rate, 2 / 3), abs=1e-9)


def test_dicmor_draws_each_sample_on_its_own() -> None:
    stay = masks.dicmor(3000, 3, 0.5, rng())
    assert len(np.unique(stay[:40], axis=0)) > 3
    np.testing.assert_allclose(stay.mean(axis=0), 0.5, atol=0.03)


def test_dicmor_says_what_it_is_defined_for() -> None:
    with pytest.raises(ValueError, match=r"3 modalities and the rates 0.0, 0.1.*got 2 and 0.5"):
        masks.dicmor(10, 2, 0.5, rng())
    with pytest.raises(ValueError, match=r"got 3 and 0\.25"):
        masks.dicmor(10, 3, 0.25, rng())


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.45, 0.5, 0.6, 2 / 3, 0.9])
def test_cpm_leaves_one_and_meets_the_rate(modalities: int, rate: float) -> None:
    stay = masks.cpm(3318, modalities, rate, rng())
    assert stay.any(axis=1).all()
    realised = 1 - stay.mean()
    assert abs(realised - min(rate, 1 - 1 / modalities)) < 0.005


def test_cpm_takes_the_closest_where_nothing_is_close() -> None:
    stay = masks.cpm(4, 2, 0.3, rng())
    assert abs(1 - stay.mean() - 0.3) == pytest.approx(0.05)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.65])
def test_dependent_rates_keep_their_mean(rate: float) -> None:
    score = rng().normal(size=500) * 3
    rates = masks.around(rate, score, 2 / 3)
    assert rates.mean() == pytest.approx(rate)
    assert (np.diff(rates[np.argsort(score)]) >= 0).all()
    assert rates.max() <= 2 / 3
    inside = rates < 2 / 3
    odds = np.log(rates[inside] / (1 - rates[inside])) - score[inside]
    np.testing.assert_allclose(odds, odds[0], atol=1e-8)


def test_one_is_restored_where_nothing_stays() -> None:
    mask = np.zeros((N, 3), bool)
    mask[0] = True
    first = np.zeros_like(mask)
    first[: N // 2, :2] = True
    second = np.ones_like(mask)
    second[-1] = False
    out = masks.restore_one(mask, (first, second), rng())
    assert out[0].all()
    assert (out[1:-1].sum(axis=1) == 1).all()
    assert not out[-1].any()
    assert not out[1 : N // 2, 2].any()
    np.testing.assert_allclose(out[1 : N // 2].mean(axis=0), [0.5, 0.5, 0], atol=0.02)
    np.testing.assert_allclose(out[N // 2 :].mean(axis=0), 1 / 3, atol=0.02)
    assert mask[0].all()
    assert not mask[1:].any()
