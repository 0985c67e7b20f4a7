"""Training of the policy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from mmrl.control.config import TrainConfig
from mmrl.control.envs import make_envs, with_faults
from mmrl.control.seen import seen_env
from mmrl.methods import Method
from mmrl.report.results import RETURN, REWARD_PER_STEP
from mmrl.runs.device import resolve_device
from mmrl.runs.progress import Advance, Curve
from mmrl.runs.seeding import POLICY, stream
from mmrl_agents.agent import STATISTICS
from mmrl_agents.build import build_agent, training_env
from mmrl_agents.training import train_agent
from mmrl_agents.vec_env import GymnasiumVecEnv
from mmrl_envs import VectorNormalizeChannels


@dataclass(frozen=True)
class PolicyCost:
    """What training a policy took.

    Args:
        timesteps: Environment steps.
        timesteps_per_second: Over this attempt.
        replay_megabytes: Memory that the replay buffer holds; 0 where there is none.
        parameters: Number of parameters of the policy's networks, targets included.
        resumed_at: Step at which an interrupted training went on, the last time; 0: it was not.
    """

    timesteps: int
    timesteps_per_second: float
    replay_megabytes: float
    parameters: int
    resumed_at: int


def train_policy(
    config: TrainConfig,
    encoder: Method | None,
    run: Path,
    scratch: Path,
    rewards: Curve,
    advance: Advance,
) -> tuple[BaseAlgorithm, PolicyCost]:
    """Trains the policy, from where an earlier attempt stopped.

    Args:
        config: Configuration of the run.
        encoder: What represents observations; None: the policy sees them as they are.
        run: The run's folder.
        scratch: Folder of the resumable state.
        rewards: Takes every finished episode.
        advance: Takes the number of steps.
    """
    agent = config.agent
    env = config.env
    if agent.sees:
        env, encoder = seen_env(env, agent.sees), None
    envs = make_envs(env, agent.n_envs)
    watch = EpisodeRewards(rewards, advance)
    keep = None
    if normalizes := agent.normalize and encoder is None:
        kept = scratch / STATISTICS
        envs = VectorNormalizeChannels(envs, statistics=kept if kept.exists() else None)
        statistics = envs.statistics

        def keep(folder: Path) -> None:
            statistics.save(folder / STATISTICS)

    if config.policy_meets_faults:
        envs = with_faults(envs, config.faults, gaps=encoder is not None)
    device = resolve_device(config.device)
    venv = training_env(agent, GymnasiumVecEnv(envs), encoder, device)
    model = build_agent(
        agent,
        venv,
        seed=stream(config.seed, POLICY) % 2**31,
        tensorboard_log=run / "tb",
        device=device,
        checkpoint=run / "encoder.yaml" if agent.finetune else None,
    )
    train_agent(
        model,
        agent.total_timesteps,
        folder=scratch,
        every=max(500, agent.total_timesteps // 10),
        keep=keep,
        callbacks=[watch],
        progress=False,
    )
    venv.close()
    if normalizes:
        statistics.save(run / STATISTICS)
    parameters = sum(p.numel() for p in model.policy.parameters())
    megabytes = _replay_megabytes(model)
    cost = PolicyCost(
        agent.total_timesteps,
        watch.timesteps_per_second,
        megabytes,
        parameters,
        watch.started_at,
    )
    forget_replay(model)
    return model, cost


def forget_replay(model: BaseAlgorithm) -> None:
    """Frees the replay buffer of a policy that learns no more, often most of a run's memory.

    Parts of a model refer to each other: it would stay until Python happens to look for such
    circles, beside that of the next policy of a comparison.
    """
    if isinstance(model, OffPolicyAlgorithm):
        model.replay_buffer = None


class EpisodeRewards(BaseCallback):
    """Reports the rewards of every episode that ends, and how its sensors failed.

    Args:
        rewards: Takes a row for each.
        advance: Takes the number of steps.
    """

    def __init__(self, rewards: Curve, advance: Advance) -> None:
        super().__init__()
        self.rewards = rewards
        self.advance = advance
        self.timesteps_per_second = 0.0
        self._start = (0, 0.0)

    @property
    def started_at(self) -> int:
        """Steps that earlier attempts had done."""
        return self._start[0]

    def _on_training_start(self) -> None:
        self._start = (self.model.num_timesteps, time.monotonic())
        self.rewards.go_on_from(self.model.num_timesteps)

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                total = float(info["episode"]["r"])
                scores = {REWARD_PER_STEP: total / float(info["episode"]["l"]), RETURN: total}
                self.logger.record_mean("rollout/reward_per_step", scores[REWARD_PER_STEP])
                for name, share in info.get("fault_rates", {}).items():
                    self.logger.record_mean(f"faults/{name}", float(share))
                self.rewards.add({"timesteps": self.num_timesteps, **scores})
        if self.num_timesteps % 50 < self.training_env.num_envs:
            self.advance(self.num_timesteps)
        return True

    def _on_training_end(self) -> None:
        timesteps, since = self._start
        elapsed = max(time.monotonic() - since, 1e-9)
        self.timesteps_per_second = (self.num_timesteps - timesteps) / elapsed
        self.advance(self.num_timesteps)


def _replay_megabytes(model: BaseAlgorithm) -> float:
    if not isinstance(model, OffPolicyAlgorithm) or model.replay_buffer is None:
        return 0.0
    buffers = vars(model.replay_buffer).values()
    arrays = [a for b in buffers for a in (b.values() if isinstance(b, dict) else [b])]
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) / 1e6
