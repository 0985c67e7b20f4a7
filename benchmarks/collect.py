"""Time and memory of collecting the 20,000 + 2,000 samples of the pendulum.

    OMP_NUM_THREADS=1 python benchmarks/collect.py

Memory is the growth of the process's peak over what the imports take (torch alone is 200 MB), so
that it tells what the data cost; the whole peak stands beside it. The original's collection was
measured at 22.6 s of CPU time and a peak of 1.85 GiB, on another machine.
"""

from __future__ import annotations

import resource
import time

import gymnasium as gym

import mmrl_envs  # noqa: F401  (registers the id)
from mmrl.data import collect

ENV = "mmrl/MultimodalPendulum-v0"


def peak_megabytes() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Collects as the default run does, and as the paper did."""
    imports = peak_megabytes()
    for name, n_envs, restart_every in (("default", 50, 50), ("one trajectory", 1, None)):
        began, cpu = time.perf_counter(), time.process_time()
        sizes = []
        for samples, seed in ((20_000, 0), (2_000, 1)):
            envs = gym.make_vec(ENV, num_envs=n_envs)
            data = collect(envs, samples, seed=seed, restart_every=restart_every)
            sizes.append(data.nbytes / 2**20)
        print(
            f"{name:>15}: {time.process_time() - cpu:.2f} s CPU, {time.perf_counter() - began:.2f} "
            f"s wall; the data take {sum(sizes):.0f} MB; peak {peak_megabytes():.0f} MB, of which "
            f"imports {imports:.0f} MB"
        )


if __name__ == "__main__":
    main()
