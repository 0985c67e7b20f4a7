"""Fault-free data for a monitor: what the sensors' representations and the actions were."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Float

from mmrl_agents.acting import LatentPolicy
from mmrl_agents.monitor.dynamics import Recording, action_features
from mmrl_agents.monitor.monitor import SensorMonitor
from mmrl_agents.robustness import MakeEnvs

N_ENVS = 64


def fit_monitor(
    monitor: SensorMonitor, agent: LatentPolicy, make_envs: MakeEnvs, seed: int
) -> None:
    """Records fault-free steps of an agent, and fits and calibrates its monitor.

    Half of what the monitor learns from are the agent's own episodes; in the other half its actions
    are replaced at random, more and more often from one environment to the next, so that states are
    known as well into which a lying sensor may lead.

    Args:
        monitor: What is fitted.
        agent: What acts, without a monitor.
        make_envs: Makes so many environments, stepped at once, whose sensors do not fail.
        seed: Seed of environments, random actions and the network.
    """
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(3)]
    config = monitor.config
    shares = np.maximum(0.0, np.linspace(-1.0, 1.0, 2 * N_ENVS))
    learn = record(monitor, agent, make_envs(2 * N_ENVS), config.samples, shares, seeds[0])
    calm = np.zeros(N_ENVS)
    check = record(monitor, agent, make_envs(N_ENVS), config.calibration, calm, seeds[1])
    monitor.fit(learn, check, seeds[2] % 2**31)


def record(
    monitor: SensorMonitor,
    agent: LatentPolicy,
    envs: VectorEnv[Any, Any, Any],
    samples: int,
    random_shares: Float[np.ndarray, " envs"],
    seed: int,
) -> Recording:
    """Steps of an agent.

    Args:
        monitor: Represents the sensors.
        agent: What acts.
        envs: Where; closed afterwards.
        samples: Observations, over all environments; rounded up to whole steps.
        random_shares: In each environment, how often an action is replaced by a random one.
        seed: Seed of environments and random actions.

    Raises:
        ValueError: The environments do not reset in the step that ends an episode.
    """
    if envs.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise ValueError("to record, environments must reset in the step that ends an episode")
    rng = np.random.default_rng(seed)
    envs.action_space.seed(seed)
    observations, _ = envs.reset(seed=seed)
    first = np.ones(envs.num_envs, np.bool_)
    rows = []
    for _ in range(-(-samples // envs.num_envs)):
        actions = agent.act(observations, first)
        replaced = rng.random(envs.num_envs) < random_shares
        actions = np.where(
            replaced.reshape(-1, *(1 for _ in actions.shape[1:])),
            envs.action_space.sample(),
            actions,
        )
        values, _ = agent.latents.read(observations)
        features = action_features(envs.single_action_space, actions)
        rows.append((monitor.represent(values), features, first))
        observations, _, terminated, truncated, _ = envs.step(actions)
        first = np.logical_or(terminated, truncated)
    envs.close()
    latents, features, starts = (np.stack(part) for part in zip(*rows, strict=True))
    return Recording(latents, features, starts)
