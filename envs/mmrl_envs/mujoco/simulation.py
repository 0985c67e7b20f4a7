"""Access to the MuJoCo simulation inside an environment. MuJoCo is imported on use."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
from gymnasium.error import DependencyNotInstalled


def import_mujoco(user: str) -> Any:
    """Return the module `mujoco`.

    Raises:
        DependencyNotInstalled: It is not installed, or there is no OpenGL library of the kind that
            MUJOCO_GL asks for; the message says how to install it.
    """
    try:
        with opengl_named():
            import mujoco
    except ImportError as error:
        raise DependencyNotInstalled(
            f"{user} needs MuJoCo: pip install 'mmrl[mujoco]' ({error})"
        ) from error
    return mujoco


@contextmanager
def opengl_named() -> Iterator[None]:
    """Name the library that is missing where an import of MuJoCo fails for it.

    MuJoCo imports PyOpenGL where MUJOCO_GL is egl or osmesa, and PyOpenGL reads attributes of None
    where there is no such library.

    Raises:
        DependencyNotInstalled: There is none; the message says how to install it.
    """
    try:
        yield
    except AttributeError as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if frames[-1].f_globals.get("__name__", "").partition(".")[0] != "OpenGL":
            raise
        raise no_opengl(error) from error


def no_opengl(error: Exception) -> DependencyNotInstalled:
    """Return what to say where there is no OpenGL library, from what was said instead."""
    return DependencyNotInstalled(
        "MuJoCo has no OpenGL library to render with "
        f"(MUJOCO_GL={os.environ.get('MUJOCO_GL')!r}; {type(error).__name__}: {error}). "
        "On Debian and Ubuntu: apt install libegl1 libgl1 and MUJOCO_GL=egl (or unset), "
        "or apt install libosmesa6 and MUJOCO_GL=osmesa"
    )


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
