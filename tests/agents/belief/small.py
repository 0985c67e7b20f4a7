"""Policies with beliefs that are small enough to train in a test."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mmrl import checkpoint
from mmrl_agents.agent import Agent
from mmrl_agents.belief.acting import BeliefPolicy
from mmrl_agents.belief.checkpoint import for_policy
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.training import BeliefTraining, Task
from mmrl_agents.build import AgentConfig, build_agent, training_env
from mmrl_agents.checkpoints import save_policy
from mmrl_agents.vec_env import GymnasiumVecEnv
from mmrl_envs import VectorNormalizeChannels
from mmrl_envs.wrappers.select import SelectChannels
from tests.agents.tiny import TinyEncoder, TwoSensors, vectorized

CONFIG = BeliefConfig(
    name="gru",
    total_timesteps=240,
    rounds=2,
    n_envs=3,
    updates=6,
    batch_size=4,
    window=8,
    hidden=16,
)
KINDS: dict[str, dict[str, Any]] = {
    "latents": {"algorithm": "sac", "on": "latents"},
    "latents, actions drawn from a distribution": {"algorithm": "ppo", "on": "latents"},
    "latents, discrete": {"algorithm": "ppo", "on": "latents", "discrete": True},
    "latents, values": {"algorithm": "dqn", "on": "latents", "discrete": True},
    "numbers": {"algorithm": "td3", "on": "joints"},
    "numbers, normalized": {"algorithm": "sac", "on": "joints", "normalize": True},
    "numbers, discrete": {"algorithm": "dqn", "on": "joints", "discrete": True},
    "images": {"algorithm": "a2c", "on": "all"},
    "images, normalized": {"algorithm": "sac", "on": "all", "normalize": True},
}


def sensors(discrete: bool = False) -> gym.Env[Any, Any]:
    return TwoSensors(with_mask=False, discrete=discrete)


def run_folder(path: Path, encoder: TinyEncoder, kind: str) -> Path:
    """What a run leaves before its belief is trained."""
    spec = dict(KINDS[kind])
    on, discrete = spec.pop("on"), spec.pop("discrete", False)
    arguments = {"buffer_size": 100} if spec["algorithm"] in ("sac", "td3", "dqn") else {}
    sees = ("joints",) if on == "joints" else ()
    config = AgentConfig(
        policy_kwargs={"net_arch": [8]}, arguments=arguments, n_envs=2, sees=sees, **spec
    )
    path.mkdir(exist_ok=True)
    make = partial(sensors, discrete)
    whole = make().observation_space
    envs: Any = vectorized(lambda: SelectChannels(make(), ["joints"]) if sees else make())
    if config.normalize:
        envs = VectorNormalizeChannels(envs)
        envs.reset(seed=0)
        for _ in range(4):
            envs.step(envs.action_space.sample())
        envs.statistics.save(path / "channels.npz")
    checkpoint.save(encoder, path)
    venv = training_env(config, GymnasiumVecEnv(envs), encoder if on == "latents" else None)
    save_policy(build_agent(config, venv, seed=0), config, path / "policy.zip", whole)
    return path


def task(folder: Path) -> Task:
    agent = Agent.load(folder, belief=False)
    assert not isinstance(agent.acting, BeliefPolicy)
    return for_policy(folder, agent.acting, agent.sensors)


def trained(
    folder: Path, config: BeliefConfig = CONFIG, state: Path | None = None, **settings: Any
) -> BeliefPolicy:
    made = task(folder)
    discrete = made.teacher.discrete
    training = BeliefTraining(made, config, seed=0, folder=state)
    envs = partial(vectorized, partial(sensors, discrete, **settings))
    network = training.run(lambda count: envs(num_envs=count))
    return made.policy(network, config.head)


def observations(count: int, seed: int = 0, **missing: list[int]) -> dict[str, NDArray[Any]]:
    """A batch of readings of both sensors, missing in some of its rows."""
    rng = np.random.default_rng(seed)
    batch: dict[str, NDArray[Any]] = {
        "camera": rng.integers(0, 256, (count, 1, 36, 36), np.uint8),
        "joints": rng.normal(size=(count, 3)).astype(np.float32),
        "available": np.ones((count, 2), np.int8),
    }
    for column, name in enumerate(("camera", "joints")):
        batch["available"][missing.get(name, []), column] = 0
    return batch
