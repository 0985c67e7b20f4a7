"""A policy that was trained elsewhere, in place of one that is trained here."""

from __future__ import annotations

from pathlib import Path

from mmrl.checkpoint import CheckpointError
from mmrl.control.config import TrainConfig
from mmrl.control.envs import make_env, without_wrappers
from mmrl.control.seen import observed_space
from mmrl.settings import ConfigError
from mmrl_agents.agent import POLICY, STATISTICS
from mmrl_agents.brought import Brought, bring, keep


def read_brought(config: TrainConfig) -> Brought:
    """The policy that `agent.policy` names by its path.

    Raises:
        ConfigError: It cannot be read, or does not fit the environment.
    """
    agent, env = config.agent, make_env(config.env)
    bare = observed_space(without_wrappers(config.env))
    try:
        return bring(agent.policy, agent, bare, env, agent.vec_normalize)
    except CheckpointError as error:
        raise ConfigError(
            f"agent.policy is {agent.policy!r}: {error}; agent.algorithm and agent.policy_kwargs "
            "tell what it was trained with"
        ) from error
    finally:
        env.close()


def bring_policy(config: TrainConfig, folder: Path) -> None:
    """Keeps the policy in a run's folder, as one that was trained there."""
    brought = read_brought(config)
    if brought.statistics is not None:
        brought.statistics.save(folder / STATISTICS)
    keep(brought, config.agent, observed_space(config.env), folder / POLICY)
