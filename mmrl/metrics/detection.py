"""How well a score finds faults: the receiver operating characteristic, and the delay."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import rankdata


def auroc(scores: Float[NDArray[np.floating], " n"], faulty: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: how often a faulty step scores higher than a healthy one.

    Equal scores count half (the Mann-Whitney statistic over the number of pairs).

    Returns:
        Within [0, 1]; .5 for a score that knows nothing.

    Raises:
        ValueError: Nothing is faulty, or everything is.

    Example:
        >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
        0.75
    """
    positives, negatives = _counts(faulty)
    ranks = rankdata(scores)
    above = ranks[faulty].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def roc_curve(
    scores: Float[NDArray[np.floating], " n"], faulty: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Rates of false and of true alarms for every threshold, from none to all.

    Raises:
        ValueError: Nothing is faulty, or everything is.

    Example:
        >>> false, true = roc_curve(np.array([1.0, 3.0, 2.0]), np.array([False, True, False]))
        >>> false.tolist(), true.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 1.0])
    """
    positives, negatives = _counts(faulty)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # equal scores are passed at once
    true = np.cumsum(faulty[order])[last] / positives
    false = np.cumsum(~faulty[order])[last] / negatives
    return np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)


def detection_delays(
    faulty: Bool[np.ndarray, "steps episodes"], alarms: Bool[np.ndarray, "steps episodes"]
) -> Float[np.ndarray, " outages"]:
    """Steps from the beginning of each outage to its first alarm.

    Args:
        faulty: When the fault is active; an outage is a run of steps without a gap.
        alarms: When it is noticed; alarms after the end of an outage do not count for it.

    Returns:
        0 where the first faulty step raises the alarm, infinity where none does.

    Example:
        >>> faulty = np.array([[False], [True], [True], [False], [True]])
        >>> detection_delays(faulty, np.array([[True], [False], [True], [True], [False]])).tolist()
        [1.0, inf]
    """
    delays = []
    for active, alarm in zip(faulty.T, alarms.T, strict=True):
        edges = np.diff(np.concatenate([[0], active.astype(np.int8), [0]]))
        for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            hits = np.flatnonzero(alarm[start:end])
            delays.append(float(hits[0]) if len(hits) else np.inf)
    return np.array(delays, np.float64)


def _counts(faulty: NDArray[np.bool_]) -> tuple[int, int]:
    positives = int(np.count_nonzero(faulty))
    if positives in (0, len(faulty)):
        raise ValueError(f"of {len(faulty)} steps {positives} are faulty: both kinds are needed")
    return positives, len(faulty) - positives
