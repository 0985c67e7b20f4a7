"""Uncertainty of means: bootstrap intervals over episodes, and over seeds and episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

RESAMPLES = 2000

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the middle half of the last axis.

    A quarter of the weight is cut off at either end; values on the border count in part, so the
    result is defined for any number of values. Agarwal et al., "Deep reinforcement learning at the
    edge of the statistical precipice", 2021, https://arxiv.org/abs/2108.13264.

    Args:
        values: At least one value along the last axis.

    Returns:
        One value less axis.

    Example:
        >>> float(interquartile_mean(np.array([-100.0, 1.0, 3.0, 100.0])))
        2.0
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=-1)
    n = ordered.shape[-1]
    edges = np.arange(n + 1) / n
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0.0, None)
    result: NDArray[np.float64] = np.asarray(ordered @ (weights / weights.sum()))
    return result


def bootstrap_interval(
    samples: Sequence[Float[np.ndarray, " episodes"]],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    statistic: Statistic | None = None,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over episodes, and over seeds where several.

    With one seed, episodes are drawn with replacement. With several, seeds are drawn with
    replacement and episodes within each, and `statistic` summarises the means of the seeds.

    Args:
        samples: Values per episode, one array for each seed.
        rng: What is drawn with.
        confidence: Probability that the interval is meant to cover.
        statistic: Of the seeds' means, over the last axis; the mean where None.
        resamples: How often is drawn.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: There is no seed, or one without episodes.

    Example:
        >>> bootstrap_interval([np.array([2.0, 2.0, 2.0])], np.random.default_rng(0))
        (2.0, 2.0)
    """
    if not samples or any(len(values) == 0 for values in samples):
        raise ValueError("an interval needs at least one seed and one episode in each")
    summarise: Statistic = statistic or (lambda values: values.mean(axis=-1))
    means = np.stack(
        [
            values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
            for values in samples
        ],
        axis=1,
    )
    chosen = rng.integers(len(samples), size=means.shape)
    if len(samples) > 1:
        means = np.take_along_axis(means, chosen, axis=1)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(summarise(means), [tail, 1.0 - tail])
    return float(low), float(high)
