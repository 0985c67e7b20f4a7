"""The control task: environments, collecting, pretraining, and training a policy."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor

from mmrl.classification_config import ClassificationConfig
from mmrl.config import EnvConfig, FaultsConfig, TrainConfig
from mmrl.data import ArrayData
from mmrl.fit import FitResult, OnStep, fit
from mmrl.methods import METHODS, Method
from mmrl.metrics.probes import Probe, probe_targets
from mmrl.progress import Advance, Curve
from mmrl.report import RETURN, REWARD_PER_STEP
from mmrl.settings import ConfigError
from mmrl_agents.agent import STATISTICS
from mmrl_agents.build import build_agent, training_env
from mmrl_agents.training import train_agent
from mmrl_agents.vec_env import GymnasiumVecEnv
from mmrl_envs import VectorNormalizeChannels, VectorSensorDropout
from mmrl_envs.faults import make_faults
from mmrl_envs.mujoco_simulation import opengl_named
from mmrl_envs.mujoco_warnings import warn_once
from mmrl_envs.wrapping import wrap

Envs = VectorEnv[Any, Any, Any]
Wrapper = Callable[[gym.Env[Any, Any]], Any]

# Numbers that keep apart the random streams of one run's seed.
TRAINING_DATA, TEST_DATA, FITTING, POLICY, EPISODES, BEHAVIOUR = range(6)


def stream(seed: int, use: int) -> int:
    """A seed of its own for each use of a run's seed."""
    return int(np.random.SeedSequence([seed, use]).generate_state(1)[0])


def make_envs(
    config: EnvConfig,
    n_envs: int,
    *,
    faults: FaultsConfig | None = None,
    render_mode: str | None = None,
    inner: Sequence[Wrapper] = (),
) -> Envs:
    """Makes environments that are stepped at once and start anew in the step that ends an episode.

    Args:
        config: Which.
        n_envs: How many.
        faults: Adds `available` to the observation, even where nothing ever fails; None: the
            environment as it is.
        render_mode: Of the environments.
        inner: Wrappers that are put around each environment before those of the settings.

    Raises:
        ConfigError: The id is not registered, or the environment refuses its arguments.
    """
    kwargs = config.kwargs | ({} if render_mode is None else {"render_mode": render_mode})
    with _refusing(config):
        spec = _registered(config.id)
        if not (config.wrappers or inner or config.processes) and _steps_as_one(spec):
            envs = gym.make_vec(
                spec.id,
                num_envs=n_envs,
                vectorization_mode="vector_entry_point",
                autoreset_mode=AutoresetMode.SAME_STEP,
                **kwargs,
            )
        else:
            wrappers: list[Wrapper] = [*inner, partial(wrap, wrappers=config.wrappers)]
            envs = _make_copies(spec, n_envs, config.processes, wrappers, kwargs)
    if faults is None:
        return envs
    try:
        return _with_faults(envs, faults)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"faults: {error}") from error


def make_env(config: EnvConfig, *, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Makes one environment; see `make_envs`."""
    kwargs = config.kwargs | ({} if render_mode is None else {"render_mode": render_mode})
    with _refusing(config):
        return wrap(gym.make(_registered(config.id), **kwargs), config.wrappers)


def pretrain(
    config: TrainConfig, data: ArrayData, state: Path | None, on_step: OnStep
) -> tuple[Method, FitResult]:
    """Trains the encoder, from where an earlier attempt stopped.

    Args:
        config: Of the run.
        data: What it learns from.
        state: File of the resumable state.
        on_step: Called after every step.
    """
    seed = stream(config.seed, FITTING)
    torch.manual_seed(seed)
    method = METHODS[config.method](data.modalities, config.method_settings)
    result = fit(
        method, data, config.fit.on(config.device), seed=seed % 2**31, state=state, on_step=on_step
    )
    return method, result


def probe(
    config: TrainConfig, method: Method, train: ArrayData, test: ArrayData
) -> dict[str, list[float]]:
    """How much of the environment's state can be read off the latents of each subset of sensors.

    The probe is trained on latents of complete observations only.

    Returns:
        R² of each output by condition; nothing where the environment's info has no `state`.
    """
    if train.target is None or test.target is None or train.target.ndim != 2:
        return {}
    angles = config.env.angles
    wanted = probe_targets(train.target, angles)
    names = method.names
    complete = encode(method, train, names)
    trained = Probe(complete, wanted, steps=config.evaluate.probe_steps, seed=config.seed)
    subsets = [names, *((name,) for name in names)] if len(names) > 1 else [names]
    return {
        "+".join(subset): trained.r2(
            encode(method, test, subset), probe_targets(test.target, angles)
        ).tolist()
        for subset in subsets
    }


@torch.inference_mode()
def encode(method: Method, data: ArrayData, names: Sequence[str], chunk: int = 512) -> Tensor:
    """Latents of data of which only some modalities are shown, on the CPU."""
    device = next(method.parameters()).device
    latents = []
    for start in range(0, len(data), chunk):
        batch = data.batch(np.arange(start, min(start + chunk, len(data)))).to(device)
        values = {name: batch.values[name] for name in names}
        latents.append(method.encode(values).float().cpu())
    return torch.cat(latents).clone()


@dataclass(frozen=True)
class PolicyCost:
    """What training a policy took.

    Args:
        frames: Environment steps.
        frames_per_second: Over this attempt.
        replay_megabytes: Memory that the replay buffer holds; 0 where there is none.
        parameters: Of the policy's networks, targets included.
    """

    frames: int
    frames_per_second: float
    replay_megabytes: float
    parameters: int


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
        config: Of the run.
        encoder: What represents observations; None: the policy sees them as they are.
        run: The run's folder.
        scratch: Folder of the resumable state.
        rewards: Takes every finished episode.
        advance: Takes the number of frames.
    """
    agent = config.agent
    envs = make_envs(config.env, agent.n_envs)
    watch = EpisodeRewards(rewards, advance)
    keep = None
    if normalizes := agent.normalize and encoder is None:
        kept = scratch / STATISTICS
        envs = VectorNormalizeChannels(envs, statistics=kept if kept.exists() else None)
        statistics = envs.statistics

        def keep(folder: Path) -> None:
            statistics.save(folder / STATISTICS)

    if config.faults.models or agent.finetune:
        envs = _with_faults(envs, config.faults)
    device = device_of(config)
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
        agent.frames,
        folder=scratch,
        every=max(500, agent.frames // 10),
        keep=keep,
        callbacks=[watch],
        progress=False,
    )
    venv.close()
    if normalizes:
        statistics.save(run / STATISTICS)
    parameters = sum(p.numel() for p in model.policy.parameters())
    cost = PolicyCost(agent.frames, watch.frames_per_second, _replay_megabytes(model), parameters)
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
        advance: Takes the number of frames.
    """

    def __init__(self, rewards: Curve, advance: Advance) -> None:
        super().__init__()
        self.rewards = rewards
        self.advance = advance
        self.frames_per_second = 0.0
        self._start = (0, 0.0)

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
                self.rewards.add({"frames": self.num_timesteps, **scores})
        if self.num_timesteps % 50 < self.training_env.num_envs:
            self.advance(self.num_timesteps)
        return True

    def _on_training_end(self) -> None:
        frames, since = self._start
        elapsed = max(time.monotonic() - since, 1e-9)
        self.frames_per_second = (self.num_timesteps - frames) / elapsed
        self.advance(self.num_timesteps)


def device_of(config: TrainConfig | ClassificationConfig) -> str:
    """The device that `auto` stands for, else what the settings say."""
    if config.device != "auto":
        return config.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Refuses a device that torch does not know or this machine does not have.

    Raises:
        ConfigError: It cannot be used.
    """
    try:
        torch.empty(0, device="cpu" if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:  # the latter: torch without CUDA
        why = str(error).splitlines()[0]
        raise ConfigError(
            f"device is {device!r}, which cannot be used here: {why}. Set auto, cpu, or what this "
            "machine has, such as cuda or cuda:1"
        ) from error


def _registered(env_id: str) -> EnvSpec:
    """What `module:Id-v0` stands for; the module is imported, and the environment's own, too."""
    module, _, name = env_id.rpartition(":")
    with opengl_named():
        importlib.import_module(module or "mmrl_envs")
        spec = gym.spec(name)
        if isinstance(spec.entry_point, str):
            load_env_creator(spec.entry_point)
    warn_once()
    return spec


@contextmanager
def _refusing(config: EnvConfig) -> Iterator[None]:
    """What goes wrong while an environment is made is said as a fault of the settings."""
    try:
        yield
    except (gym.error.Error, ImportError, OSError, TypeError, ValueError) as error:
        raise ConfigError(f"env {config.id!r} cannot be made: {error}") from error


def _make_copies(
    spec: EnvSpec,
    n_envs: int,
    processes: bool,
    wrappers: Sequence[Wrapper],
    kwargs: dict[str, Any],
) -> Envs:
    """Environments side by side, in this process or in one each."""
    vector_kwargs: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    if processes:
        vector_kwargs["context"] = "spawn"  # what renders by OpenGL does not survive a fork
    return gym.make_vec(
        spec.id,
        num_envs=n_envs,
        vectorization_mode="async" if processes else "sync",
        vector_kwargs=vector_kwargs,
        wrappers=wrappers,
        **kwargs,
    )


def _steps_as_one(spec: EnvSpec) -> bool:
    """Whether there is a vector version of its own which can reset when an episode ends."""
    entry = spec.vector_entry_point
    if entry is None:
        return False
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    return "autoreset_mode" in inspect.signature(creator).parameters


def _with_faults(envs: Envs, config: FaultsConfig) -> Envs:
    faults = make_faults(config.models)
    return VectorSensorDropout(envs, faults, keep_at_least=config.keep_at_least)


def _replay_megabytes(model: BaseAlgorithm) -> float:
    if not isinstance(model, OffPolicyAlgorithm) or model.replay_buffer is None:
        return 0.0
    buffers = vars(model.replay_buffer).values()
    arrays = [a for b in buffers for a in (b.values() if isinstance(b, dict) else [b])]
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) / 1e6
