"""Runs, from Python and from the commands: started, continued, measured again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from mmrl.runs.device import computing_with
from mmrl.runs.folder import RunFolder
from mmrl.runs.paths import settled
from mmrl.runs.progress import make_console
from mmrl.runs.settings import RunSettings
from mmrl.runs.sweep import check_sweep, run_sweep, sweep_of
from mmrl.runs.task import Task
from mmrl.settings import ConfigError

if TYPE_CHECKING:
    from mmrl.classification.config import ClassificationConfig
    from mmrl.control.config import TrainConfig

CONTROL, CLASSIFICATION = "control", "classification"
PathLike = Path | str
Work = Callable[[RunFolder, Console], list[RunFolder]]
"""What is not done yet, in a folder; returns the folders of finished runs."""


@dataclass(frozen=True)
class Outcome:
    """What a run left.

    Attributes:
        path: Its folder.
        score: The one number that a search over settings goes by: in control the mean of
            `env.score` over all conditions of the evaluation, in classification the best main
            score in validation; of a sweep the mean over its runs.
    """

    path: Path
    score: float


def task_of(content: Mapping[str, Any]) -> Task[Any]:
    """The task that settings are of; only that one is loaded.

    Raises:
        ConfigError: There is no such task.
    """
    name = content.get("task", CONTROL)
    if name == CONTROL:
        from mmrl.control.entry import Control

        return Control()
    if name == CLASSIFICATION:
        from mmrl.classification.entry import Classification

        return Classification()
    raise ConfigError(f"task is {name!r}; known: {CONTROL}, {CLASSIFICATION}")


def run(
    config: TrainConfig | ClassificationConfig | Mapping[str, Any],
    folder: PathLike | None = None,
    *,
    console: Console | None = None,
) -> Outcome:
    """Trains and evaluates, as `python -m mmrl.train` does.

    Args:
        config: The settings: a `TrainConfig` of `mmrl.control`, a `ClassificationConfig` of
            `mmrl.classification`, or the same as plain data, with the keys of `config.yaml`.
        folder: Where everything is written, with `-2`, `-3`, … appended where it exists; None: a
            new folder in `outputs`, which `outputs/latest` then points to.
        console: Where progress and tables are shown; None: on standard output.

    Raises:
        ConfigError: A setting is wrong, or does not fit the environment or the data.
        SweepFailedError: Some runs of a sweep failed; the others are finished and joined.
        RunFolderError: Another process is at work in the folder.
    """
    task = task_of(config if isinstance(config, Mapping) else {"task": config.task})
    content = settled(config if isinstance(config, Mapping) else task.stored(config))
    settings = task.read(content)
    console = console or make_console()
    work = _prepare(task, content, settings)
    if folder is not None:
        return _work(task, RunFolder.create(Path(folder), content), work, console)
    time = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    path = Path(settings.outputs) / f"{time}-{task.title(settings)}-seed{settings.seed}"
    made = RunFolder.create(path, content)
    _point_latest(made, console)
    return _work(task, made, work, console)


def resume(folder: PathLike | RunFolder, *, console: Console | None = None) -> Outcome:
    """Continues a run that was interrupted; what is finished is not repeated.

    Args:
        folder: The run's.
        console: See `run`.

    Raises:
        ConfigError: A setting does not fit the environment or the data any more.
        RunFolderError: There is no run there, it is damaged, or another process is at work in it.
    """
    opened = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    task = task_of(opened.config)
    content = task.keep(opened.config, opened.path)
    work = _prepare(task, content, task.read(content, opened))
    console = console or make_console()
    finished = ", ".join(opened.stages)
    console.print(f"continuing {opened.path}; finished: {finished or 'no stage yet'}")
    _point_latest(opened, console)
    return _work(task, opened, work, console)


def measure(
    runs: PathLike | Sequence[PathLike], *, console: Console | None = None, **settings: Any
) -> Path:
    """Measures trained agents again, or joins scores, as `python -m mmrl.evaluate` does.

    Args:
        runs: A folder, or several, whose results are joined over their seeds.
        console: See `run`.
        settings: Those of `mmrl.control.MeasureConfig` that are not to be as they are by default;
            none for classification, whose scores are complete.

    Returns:
        A new subfolder of the first run's, with table, plot and values.

    Raises:
        ConfigError: A setting is wrong, or the runs do not belong together.
        RunFolderError: A folder holds no finished run.
    """
    paths = [runs] if isinstance(runs, Path | str) else list(runs)
    folders = [RunFolder.open(path) for path in paths]
    if not folders:
        raise ConfigError("run names no folder")
    console = console or make_console()
    if any(folder.config.get("task") == CLASSIFICATION for folder in folders):
        acting = [str(f.path) for f in folders if f.config.get("task") != CLASSIFICATION]
        if acting:
            raise ConfigError(f"runs of different tasks cannot be joined; these act: {acting}")
    with computing_with(_threads(folders[0])):
        out = task_of(folders[0].config).measure(folders, settings, console)
    console.print(f"files in {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")
    return out


def is_other_rank() -> bool:
    """Whether this process is there only to share the training (torchrun, Lightning Fabric)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0


def assist(content: Mapping[str, Any], folder: PathLike | None = None) -> None:
    """The training as a rank other than the first; it makes the same data and writes nothing.

    Args:
        content: The settings, as plain data.
        folder: The run's, where it is continued: its own settings are taken.

    Raises:
        ConfigError: They are wrong, or of a sweep.
    """
    opened = None if folder is None else RunFolder.open(folder)
    content = settled(content) if opened is None else opened.config
    if sweep_of(content).runs:
        raise ConfigError("a sweep trains in one process: start it without ranks")
    task = task_of(content)
    task.assist(task.read(content, opened), opened)


def _prepare(task: Task[Any], content: Mapping[str, Any], settings: Any) -> Work:
    """Checks everything before any work."""
    if settings.sweep.runs:
        check_sweep(task, content)
        return partial(run_sweep, task)
    stages = task.prepare(settings)

    def single(folder: RunFolder, console: Console) -> list[RunFolder]:
        stages(folder, console)
        return [folder]

    return single


def _work(task: Task[Any], folder: RunFolder, work: Work, console: Console) -> Outcome:
    console.print(f"run folder: {folder.path}")
    with folder.locked(), computing_with(_threads(folder)):
        scores = [task.score(run) for run in work(folder, console)]
    console.print(f"files in {folder.path}: {', '.join(folder.contents())}")
    return Outcome(folder.path, float(np.mean(scores)))


def _threads(folder: RunFolder) -> int | None:
    """Threads of a run; of one of an older release, those of new ones."""
    threads = folder.config.get("threads", RunSettings.threads)
    return threads if isinstance(threads, int) else None


def _point_latest(folder: RunFolder, console: Console) -> None:
    if note := folder.point_latest(folder.path.parent / "latest"):
        console.print(f"note: {note}")
