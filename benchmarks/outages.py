"""Return over the length of an outage of every sensor: what memory can bridge, and what not.

python benchmarks/outages.py RUN [RUN ...] --start 100 --lengths 0 10 25 50 --csv outages.csv

All sensors go at step --start of an episode and come back after so many steps, with a run's
belief and without it; the same starts everywhere.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from mmrl.control.envs import make_envs
from mmrl.control.normalization_statistics import config_of
from mmrl.runs.folder import RunFolder
from mmrl_agents.agent import Agent
from mmrl_agents.robustness import Condition, evaluate


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--start", type=int, default=100)
    parser.add_argument("--lengths", type=int, nargs="+", default=[0, 10, 25, 50, 100, 200])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    lines = ["run,belief,length,mean_return,standard_error,mean_reward_per_step"]
    for path in args.runs:
        config = config_of(RunFolder.open(path))
        for belief in (True, False):
            agent = Agent.load(path, belief=belief)
            results = evaluate(
                agent,
                partial(make_envs, config.env),
                [outage(args.start, length) for length in args.lengths],
                episodes=args.episodes,
                n_envs=args.episodes,
                seed=args.seed,
            )
            for length, result in zip(args.lengths, results, strict=True):
                error = result.returns.std(ddof=1) / np.sqrt(len(result.returns))
                numbers = (result.returns.mean(), error, result.rewards.mean())
                text = ",".join(f"{number:.4g}" for number in numbers)
                lines.append(f"{path.name},{belief},{length},{text}")
                print(lines[-1], flush=True)
    if args.csv is not None:
        args.csv.write_text("\n".join(lines) + "\n")


def outage(start: int, length: int) -> Condition:
    """Every sensor missing for so many steps."""
    faults = {"pattern": "intervals", "intervals": [[start, start + length]]}
    return Condition(f"{length} steps", (faults,) if length else ())


if __name__ == "__main__":
    main()
