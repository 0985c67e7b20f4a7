"""Time sensor faults on the vectorised pendulum beside the bare environment, in one process.

    OMP_NUM_THREADS=1 python benchmarks/faults.py

Times are CPU times per step of all sub-environments, random numbers and resets included. The
native pendulum takes about 2 microseconds per sub-environment and step, so the percentages are
those of a very fast environment; the last column says what the faults cost, and the line "zeros
alone" what nobody can save: the same share of readings set to zero at places drawn beforehand, with
no mask, no information and no way to reset. The last table has an environment of more usual speed.
"""

from __future__ import annotations

import math
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorWrapper

from mmrl_envs import VectorSensorDropout

ID = "mmrl/MultimodalPendulum-v0"
STEPS = 301  # one episode and the step that resets it
BLACKOUT: list[dict[str, Any]] = [{"pattern": "bernoulli", "rate": 0.3}]
FAULTS: dict[str, list[dict[str, Any]]] = {
    "blackout, 0.1 per step": [{"pattern": "bernoulli", "rate": 0.1}],
    "blackout, 0.3 per step": BLACKOUT,
    "blackout, 0.3 per episode": [{"pattern": "episode", "rate": 0.3}],
    "blackout, bursts": [{"pattern": "burst", "outage": 10, "uptime": 40}],
    "freeze, bursts": [{"pattern": "burst", "outage": 10, "uptime": 40, "mechanism": "freeze"}],
    "noise on sound": [
        {"pattern": "fixed", "mechanism": "noise", "strength": 0.1, "channels": ["sound"]}
    ],
}


class ZerosAlone(VectorWrapper[Any, Any, Any, Any, Any]):
    """Blackouts without anything else: the least that a step with them can take."""

    def __init__(self, env: Any, rate: float) -> None:
        super().__init__(env)
        down = np.random.default_rng(0).random((STEPS, 2, env.num_envs)) < rate
        self._rows = [[np.flatnonzero(channel) for channel in step] for step in down]
        self._step = 0

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, and set the readings of the drawn rows to zero."""
        observations, *rest = self.env.step(actions)
        for values, rows in zip(observations.values(), self._rows[self._step % STEPS], strict=True):
            values[rows] = 0
        self._step += 1
        return observations, *rest


def episode_us(envs: Any, actions: Any) -> float:
    """Return the mean CPU time of a step in microseconds."""
    start = time.process_time()
    for _ in range(STEPS):
        envs.step(actions)
    return 1e6 * (time.process_time() - start) / STEPS


def compare(title: str, candidates: dict[str, Any], rounds: int) -> None:
    """Interleave all candidates, of which the first is bare; print the best episode of each."""
    bare, count = next(iter(candidates)), next(iter(candidates.values())).num_envs
    actions = np.zeros((count, 1), np.float32)
    for envs in candidates.values():
        envs.reset(seed=0)
    best = dict.fromkeys(candidates, math.inf)
    for _ in range(rounds):
        for name, envs in candidates.items():
            best[name] = min(best[name], episode_us(envs, actions))
    print(f"\n{title:34}{'us per step':>12}{'slower by':>12}{'us per sub-environment':>26}")
    for name, value in best.items():
        extra = value - best[bare]
        print(f"{name:34}{value:12.1f}{extra / best[bare]:12.1%}{extra / count:26.3f}")


def main() -> None:
    """Compare on the native vector environment, and on Gymnasium's loop over single ones."""
    for count in (8, 64, 256):
        candidates: dict[str, Any] = {"bare": gymnasium.make_vec(ID, num_envs=count)}
        for name, faults in FAULTS.items():
            envs = gymnasium.make_vec(ID, num_envs=count)
            candidates[name] = VectorSensorDropout(envs, faults, copy=False)
        candidates["zeros alone, 0.3 per step"] = ZerosAlone(gymnasium.make_vec(ID, count), 0.3)
        envs = gymnasium.make_vec(ID, num_envs=count)
        candidates["blackout, 0.3 per step, copying"] = VectorSensorDropout(envs, BLACKOUT)
        compare(f"native, {count} sub-environments", candidates, rounds=12)
    loops = [gymnasium.make_vec(ID, 64, vectorization_mode="sync") for _ in range(2)]
    wrapped = VectorSensorDropout(loops[1], BLACKOUT)
    compare("loop over 64 single ones", {"bare": loops[0], "blackout, 0.3 per step": wrapped}, 8)


if __name__ == "__main__":
    main()
