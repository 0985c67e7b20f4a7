"""Runs of one comparison: each in a subfolder, and one that fails stops no other."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from mmrl.runs.folder import CONFIG, RunFolder, is_full_disk

ERROR = "error.txt"
"""File in the folder of a member that failed: what went wrong, and where."""


class MembersFailedError(RuntimeError):
    """Some members of a comparison failed; all others are trained and joined."""


class Members:
    """The members of a comparison and what became of them.

    Args:
        run: The folder of the whole comparison.
        console: Where progress is shown.
    """

    def __init__(self, run: RunFolder, console: Console) -> None:
        self.run = run
        self.console = console
        self.finished: list[RunFolder] = []
        self.failed: list[str] = []

    def open(self, name: str, content: Mapping[str, Any]) -> RunFolder:
        """The folder of a member, made where there is none yet."""
        path = self.run.path / name
        if (path / CONFIG).exists():
            return RunFolder.open(path)
        return RunFolder.create(path, content)

    @contextmanager
    def attempt(self, member: RunFolder) -> Iterator[None]:
        """Runs a member: what its body raises is reported, written to `error.txt`, and ends there.

        Raises:
            RunFolderError: The disk is full, which no other member would survive.
        """
        # Environments, policies and callbacks refer to each other: nothing else frees the memory of
        # the member before, finished or failed, before this one takes as much.
        gc.collect()
        name = member.path.name
        self.console.rule(name)
        try:
            yield
        except Exception as error:
            if is_full_disk(error):
                raise
            member.write_text(ERROR, traceback.format_exc())
            what = f"{name} failed: {str(error) or type(error).__name__}"
            self.console.print(what, style="red", markup=False, highlight=False)
            self.failed.append(name)
        else:
            (member.path / ERROR).unlink(missing_ok=True)
            self.finished.append(member)

    def join(self, stage: str, files: tuple[str, ...], write: Callable[[], None]) -> None:
        """Writes what joins the finished members.

        The stage counts as finished when none has failed; until then, `resume=` tries again those
        that have.

        Args:
            stage: Name of the stage.
            files: What it writes.
            write: Writes them.

        Raises:
            MembersFailedError: Some failed; what joins the others is written.
        """
        if not self.failed:
            if not self.run.finished(stage):
                with self.run.stage(stage, files):
                    write()
            return
        if self.finished:
            write()
        raise MembersFailedError(
            f"{without(self.failed)}; {ERROR} in their folders says why. Try again with: "
            f"python -m mmrl.train resume={self.run.path}"
        )


def without(failed: Sequence[str]) -> str:
    """Which members are missing in a table or plot; nothing where none is.

    Example:
        >>> without(["smil-seed0", "mla-seed3"])
        '2 members failed: smil-seed0, mla-seed3'
    """
    if not failed:
        return ""
    return f"{len(failed)} member{'s' * (len(failed) > 1)} failed: {', '.join(failed)}"
