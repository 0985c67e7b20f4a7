"""Comparisons of two agents, against rliable's numbers and closed forms."""

import numpy as np
import pytest
from scipy import stats

from mmrl.metrics.comparison import (
    paired_difference,
    performance_profile,
    probability_of_improvement,
)

# Five runs on four tasks each. rliable 1.2.0 (metrics.probability_of_improvement,
# library.create_performance_profile) computed the numbers that the tests expect.
OURS = np.random.default_rng(7).normal(1.0, 0.5, (5, 4))
THEIRS = np.array(
    [
        [-0.2208675189, 0.5824544345, 0.0662767593, 0.8356321794],
        [0.7783755433, 0.6065345277, -0.5583798554, 0.4306535521],
        [0.6757495273, 0.756654493, -0.0650678827, 0.461123362],
        [0.2107404610, 0.2955813803, 1.2304493117, 0.2962326623],
        [0.6837391475, 1.1421949337, 0.4081997836, 0.6441490252],
    ]
)


def test_probability_of_improvement_is_rliables() -> None:
    assert probability_of_improvement(OURS, THEIRS) == pytest.approx(0.72)


def test_performance_profile_is_rliables() -> None:
    profile = performance_profile(OURS, np.linspace(0, 2, 9))
    assert profile == pytest.approx([1.0, 0.95, 0.85, 0.65, 0.4, 0.1, 0.05, 0.0, 0.0])


def test_improvement_of_one_over_the_other_is_one_in_all() -> None:
    forth, back = (probability_of_improvement(*pair) for pair in ((OURS, THEIRS), (THEIRS, OURS)))
    assert forth + back == pytest.approx(1.0)
    assert probability_of_improvement(OURS, OURS) == 0.5


def test_improvement_is_mann_whitneys_statistic_by_task() -> None:
    ours, theirs = (
        np.round(OURS, 0),
        np.round(THEIRS[:3], 0),
    )  # ties, too
    expected = [
        stats.mannwhitneyu(ours[:, task], theirs[:, task]).statistic / (len(ours) * len(theirs))
        for task in range(ours.shape[1])
    ]
    assert probability_of_improvement(ours, theirs) == pytest.approx(np.mean(expected))


def test_paired_difference_is_that_of_a_paired_t_test() -> None:
    ours, theirs = OURS.mean(axis=1), THEIRS.mean(axis=1)
    found = paired_difference(list(OURS), list(THEIRS))
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(ours - theirs))
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.is_clear == (not expected.low <= 0 <= expected.high)


def test_what_pairs_share_drops_out() -> None:
    hard = np.random.default_rng(0).normal(0.0, 100.0, (3, 50))
    found = paired_difference(list(hard + 0.1), list(hard))
    assert found == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize("theirs", [[np.ones(3)], [np.ones(3), np.ones(2)]])
def test_what_does_not_pair_is_refused(theirs: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"do not pair.*same seeds and episodes"):
        paired_difference([np.ones(3), np.ones(3)], theirs)
