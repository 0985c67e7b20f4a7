"""A sweep: several runs in subfolders of one folder; one that fails stops no other."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from mmrl.runs.folder import CONFIG, RunFolder, is_full_disk
from mmrl.runs.settings import SweepConfig
from mmrl.runs.task import Task
from mmrl.settings import ConfigError, typed

STAGE = "join"
ERROR = "error.txt"
"""File in the folder of a run that failed: what went wrong, and where."""
NAMED_BY = ("algorithm", "id", "name")
"""Settings that say what a group is of: the others of the group are its own."""


class SweepFailedError(RuntimeError):
    """Some runs of a sweep failed; all others are trained and joined."""


def sweep_of(content: Mapping[str, Any]) -> SweepConfig:
    """The sweep that settings ask for; it has no runs where they are of a single run."""
    return typed(SweepConfig, content.get("sweep"), "sweep")


def check_sweep(task: Task[Any], content: Mapping[str, Any]) -> None:
    """Tries what every run needs where most is missing, to refuse bad settings before any work.

    Args:
        task: What the runs are of.
        content: Settings of the sweep, as plain data.

    Raises:
        ConfigError: See `Task.prepare`; the run is named.
    """
    sweep = sweep_of(content)
    rate = max(sweep.rates, default=None)
    for label in sweep.runs:
        try:
            task.prepare(task.read(run_content(task, content, label, rate, sweep.seeds[0])))
        except ConfigError as error:
            raise ConfigError(f"sweep.runs.{label}: {error}") from error


def run_sweep(task: Task[Any], folder: RunFolder, console: Console) -> list[RunFolder]:
    """Does what is not done yet, one run in a subfolder each, and joins what they found.

    Args:
        task: What the runs are of.
        folder: The folder of the sweep.
        console: Where progress is shown.

    Returns:
        The folders of the runs.

    Raises:
        SweepFailedError: Some runs failed; the others are finished and joined.
    """
    sweep = sweep_of(folder.config)
    content = task.keep(folder.config, folder.path)
    runs = Runs(folder, console)
    for seed in sweep.seeds:
        for rate in sweep.rates or (None,):
            for label in sweep.runs:
                own = run_content(task, content, label, rate, seed)
                run = runs.open(run_name(label, rate, seed), own)
                if run.finished(task.last_stage):
                    runs.finished.append(run)
                    continue
                with runs.attempt(run):
                    task.prepare(task.read(run.config, run))(run, console)
    runs.join(STAGE, task.joined, lambda: task.join(runs.finished, folder, runs.failed, console))
    return runs.finished


def run_name(label: str, rate: float | None, seed: int) -> str:
    """The subfolder of a run.

    Example:
        >>> run_name("smil", 0.5, 3)
        'smil-train0.5-seed3'
    """
    return label + ("" if rate is None else f"-train{rate:g}") + f"-seed{seed}"


def run_names(sweep: SweepConfig) -> list[str]:
    """The subfolders of all runs, in the order in which they are trained."""
    return [
        run_name(label, rate, seed)
        for seed in sweep.seeds
        for rate in sweep.rates or (None,)
        for label in sweep.runs
    ]


def run_content(
    task: Task[Any], content: Mapping[str, Any], label: str, rate: float | None, seed: int
) -> dict[str, Any]:
    """The settings of one run of a sweep, as plain data.

    Args:
        task: What the run is of.
        content: Settings of the sweep.
        label: The run's, in `sweep.runs`.
        rate: Missing in training; None is what the settings say.
        seed: The run's.

    Raises:
        ConfigError: An encoder is to take the place of a method that the run has.
    """
    own = content["sweep"]["runs"][label]
    made = {**_merged(content, own), "label": label, "sweep": {}}
    if "method" in own and "encoder" not in own and made.get("encoder") is not None:
        if own["method"].get("name") != "none":
            raise ConfigError(
                "encoder takes the place of a method, and this run has one: leave out one of them, "
                "or give the run an encoder of its own"
            )
        made["encoder"] = None
    return task.vary(made, rate, seed)


def _merged(content: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(content)
    for key, value in own.items():
        before = made.get(key)
        made[key] = value
        chosen_anew = isinstance(value, Mapping) and any(name in value for name in NAMED_BY)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and not chosen_anew:
            made[key] = _merged(before, value)
    return made


class Runs:
    """The runs of a sweep and what became of them.

    Args:
        folder: The folder of the sweep.
        console: Where progress is shown.
    """

    def __init__(self, folder: RunFolder, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.finished: list[RunFolder] = []
        self.failed: list[str] = []

    def open(self, name: str, content: Mapping[str, Any]) -> RunFolder:
        """The folder of a run, made where there is none yet."""
        path = self.folder.path / name
        if (path / CONFIG).exists():
            return RunFolder.open(path)
        return RunFolder.create(path, content)

    @contextmanager
    def attempt(self, run: RunFolder) -> Iterator[None]:
        """Attempts a run: what the body raises is reported, written to `error.txt`, and ends there.

        Raises:
            RunFolderError: The disk is full, which no other run would survive.
        """
        # Environments, policies and callbacks refer to each other: nothing else frees the memory of
        # the run before, finished or failed, before this one takes as much.
        gc.collect()
        name = run.path.name
        self.console.rule(name)
        try:
            with run.locked():
                yield
        except Exception as error:
            if is_full_disk(error):
                raise
            run.write_text(ERROR, traceback.format_exc())
            what = f"{name} failed: {str(error) or type(error).__name__}"
            self.console.print(what, style="red", markup=False, highlight=False)
            self.failed.append(name)
        else:
            (run.path / ERROR).unlink(missing_ok=True)
            self.finished.append(run)

    def join(self, stage: str, files: tuple[str, ...], write: Callable[[], None]) -> None:
        """Writes what joins the finished runs.

        The stage counts as finished when none has failed; until then, `resume=` tries again those
        that have.

        Args:
            stage: Name of the stage.
            files: What it writes.
            write: Writes them.

        Raises:
            SweepFailedError: Some failed; what joins the others is written.
        """
        if not self.failed:
            if not self.folder.finished(stage):
                with self.folder.stage(stage, files):
                    write()
            return
        if self.finished:
            write()
        raise SweepFailedError(
            f"{without(self.failed)}; {ERROR} in their folders says why. Try again with: "
            f"python -m mmrl.train resume={self.folder.path}"
        )


def without(failed: Sequence[str]) -> str:
    """Which runs are missing in a table or plot; nothing where none is.

    Example:
        >>> without(["smil-seed0", "mla-seed3"])
        '2 runs failed: smil-seed0, mla-seed3'
    """
    if not failed:
        return ""
    return f"{len(failed)} run{'s' * (len(failed) > 1)} failed: {', '.join(failed)}"
