"""Train with every sensor, act with whichever are left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmrl_agents.agent import Agent

__version__ = "0.1.0"


def load(folder: Path | str, device: str = "cpu", *, monitor: bool = False) -> Agent:
    """The trained agent of a run folder, for a control loop; see `mmrl_agents.agent.Agent`.

    Args:
        folder: Folder of a run of `python -m mmrl.train`, for example `outputs/latest`.
        device: Where encoder and policy run.
        monitor: Whether sensors that lie are noticed and left out; needs the monitor that
            `python -m mmrl.monitor run=<folder>` fits.

    Raises:
        ValueError: There is no trained agent, or a file is damaged or does not fit.
    """
    from mmrl_agents.agent import Agent

    return Agent.load(folder, device, monitor=monitor)
