"""The device that a run uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mmrl.settings import ConfigError


def resolve_device(device: str) -> str:
    """The device that `auto` stands for, else what the settings say."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """In this context torch computes with so many threads on the CPU; None: as many as before.

    Networks of the usual sizes are through before several threads have begun: on two busy cores
    they take several times as long as one.
    """
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
