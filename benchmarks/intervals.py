"""How often 95 % intervals over seeds cover the truth: Student's t, and what was there before.

    python benchmarks/intervals.py

A result is the mean over seeds of the mean over 20 episodes. Each seed has a level of its own, and
episodes scatter around it as much as levels do. The truth is the mean over all possible seeds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mmrl.metrics.intervals import mean_interval

EXPERIMENTS, EPISODES, RESAMPLES = 4000, 20, 500
Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]

CASES: dict[str, tuple[Draw, Draw]] = {
    "normal": (lambda r, s: r.normal(size=s), lambda r, s: r.normal(size=s)),
    "skewed episodes": (lambda r, s: r.normal(size=s), lambda r, s: r.exponential(size=s) - 1),
    "skewed seeds (1)": (lambda r, s: r.gamma(4, 0.5, s) - 2, lambda r, s: r.normal(size=s)),
    "skewed seeds (2)": (lambda r, s: r.exponential(size=s) - 1, lambda r, s: r.normal(size=s)),
}
"""Levels of seeds, and episodes around them, each with mean 0 and standard deviation 1."""


def bootstrap(rng: np.random.Generator, samples: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap over seeds and episodes."""
    seeds, episodes = samples.shape
    picked = rng.integers(episodes, size=(RESAMPLES, seeds, episodes))
    means = samples[np.arange(seeds)[:, None], picked].mean(axis=2)
    chosen = rng.integers(seeds, size=(RESAMPLES, seeds))
    drawn = np.take_along_axis(means, chosen, axis=1).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Prints a table."""
    print(f"{'returns':18} seeds  t interval  bootstrap")
    for name, (level, noise) in CASES.items():
        for seeds in (3, 5, 10):
            rng = np.random.default_rng(seeds)
            shape = (EXPERIMENTS, seeds)
            samples = level(rng, (*shape, 1)) + noise(rng, (*shape, EPISODES))
            ends = np.array([mean_interval(list(one)) for one in samples])
            older = np.array([bootstrap(rng, one) for one in samples[: EXPERIMENTS // 4]])
            shares = [np.mean((e[:, 0] <= 0) & (e[:, 1] >= 0)) for e in (ends, older)]
            print(f"{name:18} {seeds:5}  {shares[0]:10.1%}  {shares[1]:9.1%}")


if __name__ == "__main__":
    main()
