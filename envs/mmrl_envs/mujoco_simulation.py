"""Access to the MuJoCo simulation inside an environment. MuJoCo is imported on use."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
from gymnasium.error import DependencyNotInstalled


def import_mujoco(user: str) -> Any:
    """Return the module `mujoco`.

    Raises:
        DependencyNotInstalled: It is not installed; the message says how to install it.
    """
    try:
        import mujoco
    except ImportError as error:
        raise DependencyNotInstalled(
            f"{user} needs MuJoCo: pip install 'mmrl[mujoco]' ({error})"
        ) from error
    return mujoco


def is_simulated(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether the bare environment holds a MuJoCo model and its data."""
    mujoco = sys.modules.get("mujoco")  # nobody holds a model who has not imported it
    bare: Any = env.unwrapped
    return (
        mujoco is not None
        and isinstance(getattr(bare, "model", None), mujoco.MjModel)
        and isinstance(getattr(bare, "data", None), mujoco.MjData)
    )


def check_simulated(env: gymnasium.Env[Any, Any], user: str) -> None:
    """Raise unless the environment is simulated by MuJoCo.

    Raises:
        DependencyNotInstalled: MuJoCo is not installed.
        TypeError: The environment is another one.
    """
    import_mujoco(user)
    if not is_simulated(env):
        raise TypeError(
            f"{user} needs an environment that holds a MuJoCo `model` and its `data`, "
            f"got {type(env.unwrapped).__name__}"
        )
