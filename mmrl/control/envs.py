"""Environments of a control run, stepped at once, with their wrappers and faults."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from mmrl.control.config import EnvConfig, FaultsConfig
from mmrl.settings import ConfigError
from mmrl_envs import Conform, VectorSensorDropout
from mmrl_envs.faults import make_faults
from mmrl_envs.faults.process import FILL, MISSING
from mmrl_envs.mujoco.simulation import opengl_named
from mmrl_envs.mujoco.warnings import warn_once
from mmrl_envs.wrappers.wrapping import wrap

Envs = VectorEnv[Any, Any, Any]
Wrapper = Callable[[gym.Env[Any, Any]], Any]


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
        render_mode: Render mode of the environments.
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
            wrappers: list[Wrapper] = [Conform, *inner, partial(wrap, wrappers=config.wrappers)]
            envs = _make_copies(spec, n_envs, config.processes, wrappers, kwargs)
    if faults is None:
        return envs
    try:
        return with_faults(envs, faults)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"faults: {error}") from error


def make_env(config: EnvConfig, *, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Makes one environment; see `make_envs`."""
    kwargs = config.kwargs | ({} if render_mode is None else {"render_mode": render_mode})
    with _refusing(config):
        env = gym.make(_registered(config.id), disable_env_checker=True, **kwargs)
        return wrap(Conform(env), config.wrappers)


def without_wrappers(config: EnvConfig) -> EnvConfig:
    """The environment as it is, without wrappers, but with the bounds that its actions got."""
    kept = [spec for spec in config.wrappers if spec["name"] == "bound_actions"]
    return replace(config, wrappers=kept)


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
    except (AssertionError, gym.error.Error, ImportError, OSError, TypeError, ValueError) as error:
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
        disable_env_checker=True,  # `Conform` checks, every step
        **kwargs,
    )


def _steps_as_one(spec: EnvSpec) -> bool:
    """Whether there is a vector version of its own which can reset when an episode ends."""
    entry = spec.vector_entry_point
    if entry is None:
        return False
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    return "autoreset_mode" in inspect.signature(creator).parameters


def with_faults(envs: Envs, config: FaultsConfig, *, gaps: bool = False) -> Envs:
    """Lets sensors fail as the settings say; without models `available` is always all there.

    Args:
        envs: Whose sensors.
        config: How.
        gaps: Whether readings of which some numbers are missing arrive, for an encoder to fill;
            other policies are told that the whole sensor is missing.
    """
    return VectorSensorDropout(
        envs,
        make_faults(config.models),
        keep_at_least=config.keep_at_least,
        partial=FILL if gaps else MISSING,
    )
