"""Steps per second of HyperHot: single environments, Gymnasium's loop over them, and native ones.

python benchmarks/hyperhot.py --num-envs 1 8 64
"""

import argparse
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mmrl_envs  # noqa: F401  (registers the id)

ID = "mmrl/HyperHot-v0"


def steps_per_second(envs: Any, count: int, seconds: float) -> float:
    """Steps per second of a vector environment, over all of its sub-environments."""
    rng = np.random.default_rng(0)
    envs.reset(seed=0)
    start = time.process_time()
    steps = 0
    while time.process_time() - start < seconds:
        envs.step(rng.integers(0, 6, count))
        steps += count
    return steps / (time.process_time() - start)


def single_steps_per_second(seconds: float) -> float:
    """Steps per second of one environment, with its wrappers."""
    env = gymnasium.make(ID)
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    start = time.process_time()
    steps = 0
    while time.process_time() - start < seconds:
        *_, terminated, truncated, _ = env.step(rng.integers(0, 6))
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / (time.process_time() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Steps per second of HyperHot.")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    options = parser.parse_args()
    print(f"one environment: {single_steps_per_second(options.seconds):,.0f} steps per CPU second")
    print(f"{'environments':>12}{'SyncVectorEnv':>16}{'native':>12}{'ratio':>8}")
    for count in options.num_envs:
        mode = AutoresetMode.SAME_STEP
        loop = SyncVectorEnv([lambda: gymnasium.make(ID)] * count, autoreset_mode=mode)
        native = gymnasium.make_vec(ID, num_envs=count, autoreset_mode=mode)
        slow, fast = (steps_per_second(envs, count, options.seconds) for envs in (loop, native))
        print(f"{count:>12}{slow:>16,.0f}{fast:>12,.0f}{fast / slow:>8.1f}")


if __name__ == "__main__":
    main()
