"""What MuJoCo warns of, said once instead of once for every copy of an environment."""

from __future__ import annotations

import logging
import sys

_LOGGER = logging.getLogger(__name__)
_SAID: set[str] = set()


def warn_once() -> None:
    """From here on the same warning of MuJoCo is logged once, and no file is written for it.

    Nothing happens where MuJoCo was not imported yet, or where somebody else handles its warnings.
    """
    mujoco = sys.modules.get("mujoco")
    if mujoco is not None and mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_warn)


def _warn(message: str) -> None:
    if message not in _SAID:
        _SAID.add(message)
        _LOGGER.warning("MuJoCo: %s", message)
