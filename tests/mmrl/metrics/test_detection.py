"""AUROC against a count of pairs, curves and delays against cases that can be checked by hand."""

import numpy as np
import pytest

from mmrl.metrics.detection import auroc, detection_delays, roc_curve


def naive_auroc(scores: np.ndarray, faulty: np.ndarray) -> float:
    wins = 0.0
    for high in scores[faulty]:
        for low in scores[~faulty]:
            wins += 1.0 if high > low else 0.5 if high == low else 0.0
    return wins / float(faulty.sum() * (~faulty).sum())


def test_auroc_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, 60).astype(np.float64)
    faulty = rng.random(60) < 0.3
    assert auroc(scores, faulty) == pytest.approx(naive_auroc(scores, faulty))


def test_auroc_of_perfect_blind_and_inverted_scores() -> None:
    faulty = np.array([False, True, True, False])
    assert auroc(faulty.astype(np.float64), faulty) == 1.0
    assert auroc(np.zeros(4), faulty) == 0.5
    assert auroc(-faulty.astype(np.float64), faulty) == 0.0


def test_auroc_of_two_normal_distributions() -> None:
    # Phi(d / sqrt(2)) for means that are d standard deviations apart
    rng = np.random.default_rng(1)
    faulty = np.arange(40_000) % 2 == 0
    assert auroc(rng.normal(size=40_000) + faulty, faulty) == pytest.approx(0.76025, abs=0.006)


def test_infinite_scores_have_ranks_too() -> None:
    scores = np.array([-np.inf, 0.0, np.inf])
    assert auroc(scores, np.array([False, True, True])) == 1.0


@pytest.mark.parametrize("faulty", [[True, True], [False, False]])
def test_both_kinds_of_steps_are_needed(faulty: list[bool]) -> None:
    with pytest.raises(ValueError, match="both kinds are needed"):
        auroc(np.array([0.0, 1.0]), np.array(faulty))
    with pytest.raises(ValueError, match="both kinds are needed"):
        roc_curve(np.array([0.0, 1.0]), np.array(faulty))


def test_area_under_the_curve_is_auroc() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 9, 300).astype(np.float64)
    faulty = rng.random(300) < 0.4
    false, true = roc_curve(scores, faulty)
    assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(true, false) == pytest.approx(auroc(scores, faulty))


def test_delays_of_outages() -> None:
    faulty = np.array([[1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 0, 1]], bool).T
    alarms = np.array([[1, 0, 0, 0, 0, 1], [1, 1, 1, 0, 1, 1]], bool).T
    assert detection_delays(faulty, alarms).tolist() == [0.0, 2.0, np.inf, 0.0]


def test_nothing_faulty_has_no_delays() -> None:
    nothing = np.zeros((5, 2), bool)
    assert detection_delays(nothing, ~nothing).shape == (0,)
