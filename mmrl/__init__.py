"""Train with every sensor, act with whichever are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from mmrl.classification.config import ClassificationConfig
    from mmrl.control.config import TrainConfig
    from mmrl.launch import Outcome
    from mmrl_agents.agent import Agent

__version__ = "0.1.0"


def run(
    config: TrainConfig | ClassificationConfig | Mapping[str, Any],
    folder: Path | str | None = None,
    *,
    console: Console | None = None,
) -> Outcome:
    """Trains and evaluates, as `python -m mmrl.train` does; see `mmrl.launch.run`."""
    from mmrl import launch

    return launch.run(config, folder, console=console)


def resume(folder: Path | str, *, console: Console | None = None) -> Outcome:
    """Continues a run that was interrupted; see `mmrl.launch.resume`."""
    from mmrl import launch

    return launch.resume(folder, console=console)


def measure(
    runs: Path | str | Sequence[Path | str], *, console: Console | None = None, **settings: Any
) -> Path:
    """Measures runs again, as `python -m mmrl.evaluate` does; see `mmrl.launch.measure`."""
    from mmrl import launch

    return launch.measure(runs, console=console, **settings)


def load(
    folder: Path | str, device: str = "cpu", *, monitor: bool = False, belief: bool = True
) -> Agent:
    """The trained agent of a run folder, for a control loop; see `mmrl_agents.agent.Agent`.

    Args:
        folder: Folder of a run of `python -m mmrl.train`, for example `outputs/latest`.
        device: Where encoder and policy run.
        monitor: Whether sensors that lie are noticed and left out; needs the monitor that
            `python -m mmrl.monitor run=<folder>` fits.
        belief: Whether the run's belief, where it has one, fills in for missing sensors.

    Raises:
        ValueError: There is no trained agent, or a file is damaged or does not fit.
    """
    from mmrl_agents.agent import Agent

    return Agent.load(folder, device, monitor=monitor, belief=belief)
