"""Seeds of sub-environments and of sensor faults, derived so that no two streams overlap."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np


def sub_seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """Return one seed per sub-environment.

    An integer is expanded with `numpy.random.SeedSequence(seed).generate_state`, so that seeds 0
    and 1 share no stream (seed + index would). Sub-environment i of a vector environment that was
    reset with `seed` behaves as a single environment reset with `sub_seeds(seed, count)[i]`; the
    first seeds do not depend on `count`. A list passes unchanged.

    Args:
        seed: A non-negative integer, a list of seeds, or None for no seeding.
        count: Number of sub-environments.

    Raises:
        ValueError: The list has the wrong length or a seed is negative.

    Example:
        >>> sub_seeds(0, 2) == sub_seeds(0, 5)[:2]
        True
    """
    if seed is None:
        return [None] * count
    if isinstance(seed, Sequence):
        if len(seed) != count:
            raise ValueError(f"a list of seeds needs one per sub-environment ({count}), got {seed}")
        return list(seed)
    number = operator.index(seed)
    if number < 0:
        raise ValueError(f"seed must be a non-negative integer, got {number}")
    return [int(state) for state in np.random.SeedSequence(number).generate_state(count, np.uint64)]
