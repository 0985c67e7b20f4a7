"""How long the Delaunay component analysis of two clouds takes, beside a plain version's step.

    python benchmarks/dca.py --points 2000 --dim 10 --rays 10000

Two clouds of that many points each. The plain version computes every wall for every ray, for a
sample of points, and its time is that of all of them.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from mmrl.metrics.dca import alignment

SAMPLE = 5


def plain(points: np.ndarray, index: int, rays: np.ndarray) -> set[int]:
    """Neighbours of a point, by numpy, as the formula stands."""
    step = points - points[index]
    squares = np.square(step).sum(axis=1)
    squares[index] = np.inf
    walls = rays @ (step / squares[:, None]).T
    return set(walls.argmax(axis=1)) | set(walls.argmin(axis=1))


def main() -> None:
    """Prints both times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000, help="in each of the two clouds")
    parser.add_argument("--dim", type=int, default=10)
    parser.add_argument("--rays", type=int, default=10_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(given.points, given.dim)) for _ in range(2))
    wall, cpu = time.perf_counter(), time.process_time()
    found = alignment(one, other, rays=given.rays)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(found)
    print(f"ours: {wall:.1f} s on the clock, {cpu:.1f} s of CPU time, {os.cpu_count()} cores")
    points = np.concatenate([one, other]).astype(np.float32)
    rays = rng.normal(size=(given.rays, given.dim)).astype(np.float32)
    cpu = time.process_time()
    for index in range(SAMPLE):
        plain(points, index, rays)
    cpu = (time.process_time() - cpu) / SAMPLE * len(points)
    print(f"plain numpy: {cpu:.0f} s of CPU time")


if __name__ == "__main__":
    main()
