"""Settings that the runs of both tasks have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that are no groups, see `TrainConfig`."""

    task: str = "control"
    experiment: str = "default"
    label: str = "agent"
    seed: int = 0
    device: str = "auto"
    outputs: str = "outputs"
    encoder: str | None = None
