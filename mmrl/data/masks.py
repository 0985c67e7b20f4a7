"""Random masks: which modalities of which samples stay, at least one of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.special import expit

DICMOR_SHARES = {
    0.0: (0.0, 0.0),
    0.1: (0.1, 0.1),
    0.2: (0.2, 0.2),
    0.3: (0.3, 0.3),
    0.4: (0.5, 0.2),
    0.5: (0.7, 0.1),
    0.6: (0.9, 0.0),
    0.7: (1.0, 0.0),
}
"""Shares of samples that lack two and one of three modalities, by missing rate (DiCMoR, IMDer).

2a + b = 3 rate, but for .7, which stands for two thirds: one of three modalities always stays.
"""

CPM_TOLERANCE = 0.005
CPM_TRIES = 100
BISECTIONS = 60


def bernoulli(
    rates: Float[NDArray[np.float64], "samples modalities"], rng: np.random.Generator
) -> Bool[NDArray[np.bool_], "samples modalities"]:
    r"""Independent draws given that at least one modality stays, with exactly the given rates.

    Drawing again where all were missing, or restoring one, lowers the rates. Here modality m stays
    with probability :math:`q_m s`, where :math:`q_m = 1 - rate_m` and s solves
    :math:`1 - \prod_m (1 - q_m s) = s`: given that one stays, which has probability s, it is
    :math:`q_m`. Where the rates leave less than one modality on average, exactly one stays, drawn
    in proportion to q.

    Args:
        rates: Probability of being missing, in [0, 1].
        rng: Draws.

    Returns:
        True where a modality stays.

    Example:
        >>> stay = bernoulli(np.full((10_000, 2), 0.4), np.random.default_rng(0))
        >>> bool(stay.any(axis=1).all()), (abs(stay.mean(axis=0) - 0.6) < 0.02).tolist()
        (True, [True, True])
    """
    samples, modalities = rates.shape
    keep = 1 - np.clip(rates, 0, 1)
    total = keep.sum(axis=1, keepdims=True)
    keep = np.where(total < 1, np.divide(keep, total, where=total > 0, out=keep.copy()), keep)
    keep = np.where(total > 0, keep, 1 / modalities)
    low, high = np.zeros((samples, 1)), np.ones((samples, 1))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = 1 - np.prod(1 - keep * middle, axis=1, keepdims=True) > middle
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    s = high
    # The first that stays; those after it are independent. Nothing is divided by s, which is 0
    # where exactly one stays.
    before = np.cumprod(np.concatenate([np.ones((samples, 1)), 1 - keep * s], axis=1), axis=1)
    weights = keep * before[:, :-1]
    edges = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    first = (rng.random((samples, 1)) >= edges[:, :-1]).sum(axis=1, keepdims=True)
    place = np.arange(modalities)
    later = (place > first) & (rng.random((samples, modalities)) < keep * s)
    return np.asarray((place == first) | later)


def quota(
    strata: Int[NDArray[np.integer], " samples"], rate: float, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], " samples"]:
    """A share of each stratum, to the nearest sample; of all, exactly `round(rate * n)`.

    Example:
        >>> rows = quota(np.repeat([0, 1], 105), 0.8, np.random.default_rng(0))
        >>> rows[:105].sum(), rows[105:].sum()
        (np.int64(84), np.int64(84))
    """
    chosen = np.zeros(len(strata), bool)
    # Rounded on the running total: halves would otherwise go the same way in every stratum.
    seen = taken = 0
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        seen += len(rows)
        take = round(rate * seen) - taken
        chosen[rows[:take]] = True
        taken += take
    return chosen


def dicmor(
    samples: int, modalities: int, rate: float, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], "samples modalities"]:
    """The random-missing protocol of DiCMoR and IMDer, per sample.

    A share a of the samples lacks two modalities, a share b one, `DICMOR_SHARES`; which is drawn
    for each sample on its own (the released codes draw it for whole batches, and round the counts
    of batches so that the rate drifts).

    Raises:
        ValueError: Not three modalities, or a rate that is not in the table.
    """
    rate = round(rate, 6)
    if modalities != 3 or rate not in DICMOR_SHARES:
        raise ValueError(
            f"dicmor is defined for 3 modalities and the rates "
            f"{', '.join(map(str, DICMOR_SHARES))}; got {modalities} and {rate}"
        )
    two, one = (round(share * samples) for share in DICMOR_SHARES[rate])
    gone = np.zeros(samples, int)
    gone[:two], gone[two : two + one] = 2, 1
    order = np.argsort(rng.random((samples, modalities)), axis=1)
    return order >= rng.permutation(gone)[:, None]


def cpm(
    samples: int, modalities: int, rate: float, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], "samples modalities"]:
    """The mask of CPM-Nets, taken over by MMIN, GCNet and MLA; `rate` is of all slots.

    Every sample keeps one random modality; the others stay at random so that the share of slots
    that stay is `1 - rate`, drawn again until it is within .005 (here: the closest of 100 draws,
    because small sets may have no closer one). Beyond `1 - 1 / modalities`, only the one stays.
    """
    present = 1 - rate
    one = np.eye(modalities, dtype=bool)[rng.integers(modalities, size=samples)]
    if rate == 0:
        return np.ones_like(one)
    if present <= 1 / modalities:
        return one
    # Slots still needed, over the slots that are free: what the original's correction for the
    # overlap of both draws amounts to, before it rounds to whole per cent.
    share = (modalities * present - 1) / (modalities - 1)
    best = one
    for _ in range(CPM_TRIES):
        mask = one | (rng.random(one.shape) < share)
        if abs(mask.mean() - present) < abs(best.mean() - present):
            best = mask
        if abs(best.mean() - present) < CPM_TOLERANCE:
            break
        one = np.eye(modalities, dtype=bool)[rng.integers(modalities, size=samples)]
    return best


def around(
    rate: float, score: Float[NDArray[np.float64], " samples"], most: float
) -> Float[NDArray[np.float64], " samples"]:
    """Rates per sample whose log-odds rise with the score and whose mean is `rate`.

    Args:
        rate: In [0, `most`].
        score: Added to the log-odds.
        most: No rate is higher.

    Example:
        >>> np.round(around(0.5, np.array([-1.0, 0.0, 1.0]), 1.0), 2)
        array([0.27, 0.5 , 0.73])
    """
    if rate in (0.0, most) or not len(score):
        return np.full(len(score), rate)
    low, high = -60.0 - abs(score).max(), 60.0 + abs(score).max()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if np.minimum(expit(middle + score), most).mean() < rate:
            low = middle
        else:
            high = middle
    return np.asarray(np.minimum(expit(high + score), most))


def restore_one(
    mask: Bool[NDArray[np.bool_], "samples modalities"],
    choices: Sequence[Bool[NDArray[np.bool_], "samples modalities"]],
    rng: np.random.Generator,
) -> Bool[NDArray[np.bool_], "samples modalities"]:
    """Where nothing stays, one does: a random one of the first of `choices` that has any.

    Samples that have none in any of them stay empty.
    """
    mask = mask.copy()
    for choice in choices:
        rows = np.flatnonzero(~mask.any(axis=1) & choice.any(axis=1))
        luck = np.where(choice[rows], rng.random((len(rows), mask.shape[1])), -1.0)
        mask[rows, luck.argmax(axis=1)] = True
    return mask
