"""A few steps of an environment, before any work: what is wrong with it is said at once."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mmrl.control.config import EnvConfig
from mmrl.control.envs import Envs
from mmrl.data.states import join_states, told_state
from mmrl.settings import ConfigError

STEPS = 4

Observation = Mapping[str, NDArray[Any]]


def first_steps(config: EnvConfig, envs: Envs) -> Observation:
    """Resets environments and acts at random for a few steps.

    Args:
        config: Which environment.
        envs: As they were made.

    Returns:
        What the sensors delivered, values by channel.

    Raises:
        ConfigError: Something failed, in whatever way; or `angles` names what the state has not.
    """
    envs.action_space.seed(0)
    try:
        observations, infos = envs.reset(seed=0)
        seen, states = [observations], [told_state(infos)]
        for _ in range(STEPS):
            observations, _, _, _, infos = envs.step(envs.action_space.sample())
            seen.append(observations)
            states.append(told_state(infos))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # an environment is anybody's code
        raise ConfigError(f"its first steps failed: {_said(error)}") from error
    state = join_states(states, envs.num_envs)
    known = 0 if state is None else state.shape[1]
    if beyond := [column for column in config.angles if not 0 <= column < known]:
        raise ConfigError(
            f"env.angles names column {beyond[0]} of info['state'], which has {known} columns of "
            "numbers"
        )
    return {name: np.concatenate([values[name] for values in seen]) for name in observations}


def _said(error: BaseException) -> str:
    """The message, and where it comes from if that says little."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | gym.error.Error) and text:
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(frame.filename).name}, line {frame.lineno})"
