"""The device that a run uses."""

from __future__ import annotations

import torch

from mmrl.settings import ConfigError


def resolve_device(device: str) -> str:
    """The device that `auto` stands for, else what the settings say."""
    if device != "auto":
        return device
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
