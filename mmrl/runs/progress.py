"""What a run says while it works: a bar with the time left for each stage, and curves in files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmrl.files import FileError, brief, read_text, write_atomically

Advance = Callable[[int], None]
"""Called with how much is done so far."""


@contextmanager
def progress_bar(console: Console, stage: str, total: int, unit: str) -> Iterator[Advance]:
    """A bar for one stage; on anything but a terminal one line at its end.

    Args:
        console: Where it is shown.
        stage: Its name.
        total: How much there is to do.
        unit: What is counted, such as `steps`.

    Yields:
        A function to be called with how much is done so far.
    """
    columns = (
        TextColumn("[bold]{task.description:<9}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(stage, total=total)
        yield lambda done: progress.update(task, completed=done)


class Curve:
    """Numbers over time in a CSV file that survives a kill and is continued.

    Args:
        path: Path of the file. What an earlier attempt wrote is kept up to where this one begins.
        key: Name of the column by which rows are ordered; several rows may have the same.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self._state: float | int | None = None
        self._begun = False

    def go_on_from(self, state: float | int) -> None:
        """Says of which row's time the state is from which an attempt goes on.

        Where nobody says so, it is the time before the first row that is added.
        """
        self._state = state

    def add(self, row: Mapping[str, float | int]) -> None:
        """Writes a row; all rows have the same columns."""
        if not self._begun:
            self._begin(list(row), row[self.key])
            self._begun = True
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row.values())

    def text(self) -> str:
        """All rows, as CSV."""
        columns = read_curve(self.path)
        return _csv(list(columns), columns) if columns else ""

    def _begin(self, names: list[str], first: float | int) -> None:
        """Drops what an earlier attempt wrote after its state was saved, and half a line."""
        columns = read_curve(self.path)
        if list(columns) != names:
            columns = {name: np.empty(0) for name in names}
        times = columns[self.key]
        before = times < first if self._state is None else times <= self._state
        kept = {name: values[before] for name, values in columns.items()}
        write_atomically(self.path, _csv(names, kept).encode())


def _csv(names: list[str], columns: Mapping[str, NDArray[np.float64]]) -> str:
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    rows = zip(*columns.values(), strict=True)
    writer.writerows([f"{value:.10g}" for value in row] for row in rows)
    return buffer.getvalue()


def read_curve(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of a CSV file of numbers by name; nothing where there is no file.

    Raises:
        FileError: It is damaged.
    """
    if not path.exists():
        return {}
    try:
        header, *lines = list(csv.reader(StringIO(read_text(path), newline=""))) or [[]]
    except csv.Error as error:
        raise FileError(
            f"{path} is damaged ({brief(error)}); remove it to go on without"
        ) from error
    rows = [row for line in lines if len(row := _numbers(line)) == len(header)]
    table = np.array(rows, np.float64).reshape(len(rows), len(header))
    return {name: table[:, i] for i, name in enumerate(header)}


def _numbers(cells: list[str]) -> list[float]:
    """The cells of a line; none where a kill cut it off in the middle of a number."""
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return []


def make_console() -> Console:
    """Where a run reports to: standard output, at a readable width where it is no terminal."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100, soft_wrap=True)
