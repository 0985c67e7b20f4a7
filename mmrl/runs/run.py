"""A run at work: what its stages are handed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.runs.folder import RunFolder

Config = TypeVar("Config")


@dataclass(frozen=True)
class Run(Generic[Config]):
    """What a run works with; made by `at_work`.

    Attributes:
        config: Its settings.
        folder: Where it writes, and which of its stages are finished.
        console: Where progress and tables are shown.
        writer: What TensorBoard will show.
    """

    config: Config
    folder: RunFolder
    console: Console
    writer: SummaryWriter

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path


@contextmanager
def at_work(config: Config, folder: RunFolder, console: Console) -> Iterator[Run[Config]]:
    """A run with its TensorBoard writer, which is closed at the end.

    Args:
        config: Settings of the run.
        folder: The run's folder.
        console: Where progress and tables are shown.
    """
    with SummaryWriter(str(folder.path / "tb")) as writer:
        yield Run(config, folder, console, writer)
