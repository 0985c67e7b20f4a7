"""What the commands, sweeps and the Python entry ask of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from rich.console import Console

from mmrl.runs.folder import RunFolder

Config = TypeVar("Config")
Work = Callable[[RunFolder, Console], None]
"""All stages of a run that are not finished yet, in its folder."""


@runtime_checkable
class Task(Protocol[Config]):
    """A kind of run: `mmrl.control` and `mmrl.classification` have one each.

    Attributes:
        last_stage: The stage that ends a run.
        joined: Files that join the runs of a sweep.
    """

    last_stage: str
    joined: tuple[str, ...]

    def read(self, content: Mapping[str, Any], folder: RunFolder | None = None) -> Config:
        """Settings from plain data.

        Args:
            content: The data, as `config.yaml` has them.
            folder: The run's, where it has one already.

        Raises:
            ConfigError: They are wrong; what is expected is said.
        """
        ...

    def stored(self, config: Config) -> dict[str, Any]:
        """Settings as plain data that `read` reads."""
        ...

    def title(self, config: Config) -> str:
        """What the folder of a new run is called, besides its time and seed."""
        ...

    def prepare(self, config: Config) -> Work:
        """Tries what a run needs, to refuse bad settings before any work.

        Raises:
            ConfigError: The settings do not fit the environment or the data.
        """
        ...

    def assist(self, config: Config, folder: RunFolder | None) -> None:
        """Takes part in the training as a rank other than the first, and writes nothing.

        Args:
            config: Settings of the run.
            folder: The run's, where it is continued.
        """
        ...

    def score(self, folder: RunFolder) -> float:
        """The one number that a search over settings goes by, of a finished run."""
        ...

    def vary(self, content: Mapping[str, Any], rate: float | None, seed: int) -> dict[str, Any]:
        """Settings as plain data, with another seed and, where there is one, training rate."""
        ...

    def keep(self, content: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Settings that read copies in the folder of a sweep of what they name by a path."""
        ...

    def join(
        self, runs: Sequence[RunFolder], sweep: RunFolder, failed: Sequence[str], console: Console
    ) -> None:
        """Writes the `joined` files.

        Args:
            runs: Finished runs of the sweep.
            sweep: The folder of the sweep.
            failed: Names of the runs that failed.
            console: Takes the tables.
        """
        ...

    def measure(
        self, runs: Sequence[RunFolder], settings: Mapping[str, Any], console: Console
    ) -> Path:
        """Measures finished runs again, or joins what they measured.

        Args:
            runs: Their folders.
            settings: What is not as `python -m mmrl.evaluate` has it by default.
            console: Takes the table.

        Returns:
            A new subfolder of the first run's.

        Raises:
            ConfigError: A setting is wrong, or the runs do not belong together.
            RunFolderError: A run is not finished.
        """
        ...
