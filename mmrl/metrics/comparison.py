"""Is one agent or method better than another? Paired differences, improvement, profiles.

Probability of improvement and performance profiles are those of Agarwal et al., "Deep reinforcement
learning at the edge of the statistical precipice", 2021, https://arxiv.org/abs/2108.13264.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from mmrl.metrics.intervals import mean_interval


class Difference(NamedTuple):
    """How much higher one of two scores is, with the ends of its interval."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_difference(
    ours: Sequence[NDArray[np.float64]],
    theirs: Sequence[NDArray[np.float64]],
    *,
    confidence: float = 0.95,
) -> Difference:
    """Mean difference of scores that were measured in pairs: same seeds, starts and masks.

    What makes a seed or a start hard is the same on both sides and drops out, so the interval is
    narrower than that of either score.

    Args:
        ours: Scores by episode (or one score), an array for each seed.
        theirs: The scores to compare with, in the same order of seeds and episodes.
        confidence: Probability that the interval is meant to cover.

    Raises:
        ValueError: The scores do not pair: other numbers of seeds or episodes.

    Example:
        >>> ours = [np.array([1.0, 2.0]), np.array([5.0, 6.0])]
        >>> theirs = [np.array([0.0, 1.0]), np.array([4.0, 5.0])]
        >>> paired_difference(ours, theirs)
        Difference(mean=1.0, low=1.0, high=1.0)
    """
    shapes = [[len(values) for values in side] for side in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"scores do not pair: episodes by seed are {shapes[0]} on one side and {shapes[1]} on "
            "the other; evaluate both with the same seeds and episodes"
        )
    differences = [np.subtract(a, b) for a, b in zip(ours, theirs, strict=True)]
    low, high = mean_interval(differences, confidence=confidence)
    return Difference(float(np.mean([d.mean() for d in differences])), low, high)


def probability_of_improvement(
    ours: Float[np.ndarray, "runs tasks"], theirs: Float[np.ndarray, "other_runs tasks"]
) -> float:
    """How probable it is that a run of ours beats one of theirs, on a task picked at random.

    Args:
        ours: Scores by run and task (a condition, a data set, an environment).
        theirs: Scores of any number of runs on the same tasks.

    Returns:
        In [0, 1]; ties count half, so that equal scores give 0.5.

    Example:
        >>> probability_of_improvement(np.array([[1.0], [3.0]]), np.array([[2.0]]))
        0.5
    """
    wins = ours[:, None] > theirs[None]
    ties = ours[:, None] == theirs[None]
    return float(np.mean(wins + 0.5 * ties))


def performance_profile(
    scores: Float[np.ndarray, "runs tasks"], thresholds: Float[np.ndarray, " thresholds"]
) -> Float[np.ndarray, " thresholds"]:
    """Share of runs on all tasks whose score exceeds each threshold.

    Args:
        scores: Scores by run and task.
        thresholds: What is to be exceeded.

    Returns:
        Shares in [0, 1], one for each threshold; of two profiles the higher one is better.

    Example:
        >>> performance_profile(np.array([[0.2, 0.8]]), np.array([0.0, 0.5, 1.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    shares: NDArray[np.float64] = (scores.reshape(-1, 1) > thresholds).mean(axis=0)
    return shares
