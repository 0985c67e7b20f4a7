"""Runs of a sweep: one that fails stops no other, and leaves no memory behind."""

import gc
import weakref
from pathlib import Path

import pytest

from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console
from mmrl.runs.sweep import ERROR, Runs, SweepFailedError


class Cycle:
    """Refers to itself, as environments, policies and callbacks do to each other."""

    def __init__(self) -> None:
        self.itself = self


def fail_with(held: Cycle, seen: list[weakref.ref[Cycle]]) -> None:
    """Fails while it holds something."""
    seen.append(weakref.ref(held))
    raise MemoryError("too large")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Of a sweep that has none yet."""
    return Runs(RunFolder.create(tmp_path / "run", {}), make_console())


def test_what_a_failed_run_held_is_freed_before_the_next(runs: Runs) -> None:
    seen: list[weakref.ref[Cycle]] = []
    gc.disable()
    try:
        with runs.attempt(runs.open("a", {})):
            fail_with(Cycle(), seen)
        assert runs.failed == ["a"]
        with runs.attempt(runs.open("b", {})):
            assert seen[0]() is None
    finally:
        gc.enable()


def test_the_joined_files_are_written_without_those_that_failed(runs: Runs) -> None:
    written = []
    for name in ("a", "b"):
        with runs.attempt(runs.open(name, {})):
            if name == "a":
                raise ValueError("no luck")
    with pytest.raises(SweepFailedError, match=r"1 run failed: a; error\.txt"):
        runs.join("join", (), lambda: written.append(len(runs.finished)))
    assert written == [1]
    assert not runs.folder.finished("join")
    assert "no luck" in (runs.folder.path / "a" / ERROR).read_text()


def test_a_full_disk_stops_everything(runs: Runs) -> None:
    with (
        pytest.raises(OSError, match="No space left"),
        runs.attempt(runs.open("a", {})),
    ):
        raise OSError(28, "No space left on device")
    assert runs.failed == []
