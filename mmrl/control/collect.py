"""What the encoder is pretrained on: observations, and who acts while they are collected."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path

import torch

from mmrl.checkpoint import CheckpointError
from mmrl.control.config import RANDOM, TEACHER, WARMUP, TrainConfig
from mmrl.control.envs import make_envs, without_wrappers
from mmrl.control.policy import EpisodeRewards, forget_replay
from mmrl.data import ArrayData, collect
from mmrl.runs.device import resolve_device
from mmrl.runs.progress import Advance, Curve
from mmrl.runs.seeding import BEHAVIOUR, TEST_DATA, TRAINING_DATA, stream
from mmrl.settings import ConfigError
from mmrl_agents.behaviour import Behaviour, Chooses, RawInInfo, acts_on_raw, load_behaviour
from mmrl_agents.build import build_agent, training_env
from mmrl_agents.config import AgentConfig
from mmrl_agents.training import train_agent
from mmrl_agents.trial import check_agent
from mmrl_agents.vec_env import GymnasiumVecEnv

CURVE = "rewards.csv"


def behaviour_agent(config: TrainConfig) -> AgentConfig:
    """The algorithm of a policy that collects: its own, or that of the run."""
    agent = config.collect.agent or config.agent
    total = config.collect.warmup_timesteps
    return replace(agent, total_timesteps=total, finetune=False, normalize=False)


def check_collecting(config: TrainConfig) -> None:
    """Whether there is somebody to act while observations are collected, before any work.

    Raises:
        ConfigError: A policy cannot be trained or read, or does not fit the environment.
    """
    if config.collect.policy in (RANDOM, TEACHER) or config.method_settings is None:
        return
    if config.collect.policy != WARMUP:
        given_policy(config)
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "several processes cannot share the training of a policy: train it first, and give its "
            "run folder as collect.policy"
        )
    agent = behaviour_agent(config)
    envs = make_envs(without_wrappers(config.env), 1)
    try:
        check_agent(agent, envs.single_observation_space, envs.single_action_space)
    except ValueError as error:
        raise ConfigError(f"collect.policy: on the env without wrappers, {error}") from error
    finally:
        envs.close()


def given_policy(config: TrainConfig, run: Path | None = None) -> Chooses:
    """The policy that `collect.policy` names by its path.

    Args:
        config: Configuration of the run.
        run: The run's folder, whose own policy collects instead.

    Raises:
        ConfigError: It cannot be read, or does not fit the environment.
    """
    envs, bare = make_envs(config.env, 1), make_envs(without_wrappers(config.env), 1)
    try:
        path = Path(config.collect.policy) if run is None else run
        return load_behaviour(path, behaviour_agent(config), envs, bare)
    except CheckpointError as error:
        raise ConfigError(
            f"collect.policy is {config.collect.policy!r}: {error}; it can also be {RANDOM!r}, "
            f"{WARMUP!r} or {TEACHER!r}, and collect.agent tells the algorithm and network of a zip"
        ) from error
    finally:
        envs.close()
        bare.close()


def train_behaviour(config: TrainConfig, scratch: Path | None, advance: Advance) -> Chooses:
    """Trains the warm-up policy on what the bare environment returns, from where it stopped.

    Args:
        config: Configuration of the run.
        scratch: Folder of the resumable state and of a curve of its rewards.
        advance: Takes the number of steps.
    """
    agent = behaviour_agent(config)
    envs = GymnasiumVecEnv(make_envs(without_wrappers(config.env), agent.n_envs))
    venv = training_env(agent, envs)
    seed = stream(config.seed, BEHAVIOUR) % 2**31
    model = build_agent(agent, venv, seed=seed, device=resolve_device(config.device))
    watch = []
    if scratch is not None:
        watch = [EpisodeRewards(Curve(scratch / CURVE, "timesteps"), advance)]
    total = agent.total_timesteps
    every = max(500, total // 10)
    train_agent(model, total, folder=scratch, every=every, callbacks=watch, progress=False)
    venv.close()
    forget_replay(model)
    model.policy.set_training_mode(False)
    return acts_on_raw(model.policy, envs.envs.single_action_space)


def collect_data(
    config: TrainConfig, advance: Advance, policy: Chooses | None = None
) -> tuple[ArrayData, ArrayData]:
    """Observations for training, and for probes of the representation.

    Args:
        config: Configuration of the run.
        advance: Takes the number of samples.
        policy: Who acts; None: actions are random.
    """
    settings = config.collect
    parts = []
    for use, samples in ((TRAINING_DATA, settings.samples), (TEST_DATA, settings.test_samples)):
        before = 0 if use == TRAINING_DATA else settings.samples
        seed = stream(config.seed, use)
        inner = () if policy is None or not config.env.wrappers else (RawInInfo,)
        envs = make_envs(config.env, min(settings.n_envs, samples), inner=inner)
        acting = None
        if policy is not None:
            torch.manual_seed(seed)  # policies draw their actions from torch's stream
            acting = envs = Behaviour(
                envs,
                policy,
                random_episodes=settings.random_episodes,
                random_actions=settings.random_actions,
                seed=seed,
            )
        data = collect(
            envs,
            samples,
            seed=seed,
            restart_every=settings.restart_every,
            policy=None if acting is None else acting.act,
            kinds=config.env.kinds,
            shared_scale=config.env.shared_scale,
            partial=config.env.partial,
            on_progress=functools.partial(_advance, advance, before),
        )
        envs.close()
        parts.append(data)
    return parts[0], parts[1]


def _advance(advance: Advance, before: int, done: int) -> None:
    advance(before + done)
