"""Time that a trained agent takes for one step of a control loop, batch 1, one core.

    OMP_NUM_THREADS=1 python benchmarks/act.py [RUN]

Without the folder of a run, an agent with the default sizes and fresh weights is built: the
pendulum's GMC encoder, a SAC actor of 128-128, and a belief. Target: at most 2 ms, whatever is
missing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

import mmrl_envs  # noqa: F401  (registers the id)
from mmrl import checkpoint
from mmrl.methods.gmc.method import GMC
from mmrl.modality import Modality
from mmrl_agents.acting import LatentPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.belief.checkpoint import for_policy, save_belief
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.training import new_network
from mmrl_agents.build import AgentConfig, build_agent, training_env
from mmrl_agents.checkpoints import save_policy
from mmrl_agents.vec_env import GymnasiumVecEnv

ENV = "mmrl/MultimodalPendulum-v0"
REPEATS = 500


def untrained(folder: Path) -> Path:
    """A run folder as training leaves it, but for the training."""
    envs = gym.make_vec(ENV, num_envs=1, autoreset_mode=AutoresetMode.SAME_STEP)
    encoder = GMC(Modality.from_space(envs.single_observation_space))
    config = AgentConfig(policy_kwargs={"net_arch": [128, 128]})
    model = build_agent(config, training_env(config, GymnasiumVecEnv(envs), encoder), seed=0)
    checkpoint.save(encoder, folder)
    save_policy(model, config, folder / "policy.zip")
    alone = Agent.load(folder)
    assert isinstance(alone.acting, LatentPolicy)
    task = for_policy(folder, alone.acting, alone.sensors)
    save_belief(task.policy(new_network(task, BeliefConfig(), seed=0), "auto"), folder)
    return folder


def milliseconds(call: Callable[[], object]) -> tuple[float, float, float]:
    """Median, 95th percentile and least of many calls."""
    for _ in range(20):
        call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times)), float(np.quantile(times, 0.95)), min(times)


def main() -> None:
    """Measures every subset of the sensors."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else untrained(Path(temporary))
        agent = Agent.load(folder)
    observation, _ = gym.make(ENV).reset(seed=0)
    cases: dict[str, dict[str, Any]] = {
        "image+sound": observation,
        "image": {"image": observation["image"]},
        "sound": {"sound": observation["sound"]},
        "nothing": {},
    }
    print(f"{'sensors':>12}  {'median':>7}  {'95 %':>7}  {'least':>7}  (ms per step)")
    for name, values in cases.items():
        agent.reset()
        median, tail, least = milliseconds(lambda values=values: agent.act(values))  # type: ignore[misc]
        print(f"{name:>12}  {median:7.3f}  {tail:7.3f}  {least:7.3f}")


if __name__ == "__main__":
    main()
