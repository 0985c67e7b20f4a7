"""Members of a comparison: one that fails stops no other, and leaves no memory behind."""

import gc
import weakref
from pathlib import Path

import pytest

from mmrl.runs.folder import RunFolder
from mmrl.runs.members import ERROR, Members, MembersFailedError
from mmrl.runs.progress import make_console


class Cycle:
    """Refers to itself, as environments, policies and callbacks do to each other."""

    def __init__(self) -> None:
        self.itself = self


def fail_with(held: Cycle, seen: list[weakref.ref[Cycle]]) -> None:
    """Fails while it holds something."""
    seen.append(weakref.ref(held))
    raise MemoryError("too large")


@pytest.fixture
def members(tmp_path: Path) -> Members:
    """Of a comparison that has none yet."""
    return Members(RunFolder.create(tmp_path / "run", {}), make_console())


def test_what_a_failed_member_held_is_freed_before_the_next(members: Members) -> None:
    seen: list[weakref.ref[Cycle]] = []
    gc.disable()
    try:
        with members.attempt(members.open("a", {})):
            fail_with(Cycle(), seen)
        assert members.failed == ["a"]
        with members.attempt(members.open("b", {})):
            assert seen[0]() is None
    finally:
        gc.enable()


def test_the_joined_files_are_written_without_those_that_failed(members: Members) -> None:
    written = []
    for name in ("a", "b"):
        with members.attempt(members.open(name, {})):
            if name == "a":
                raise ValueError("no luck")
    with pytest.raises(MembersFailedError, match=r"1 member failed: a; error\.txt"):
        members.join("join", (), lambda: written.append(len(members.finished)))
    assert written == [1]
    assert not members.run.finished("join")
    assert "no luck" in (members.run.path / "a" / ERROR).read_text()


def test_a_full_disk_stops_everything(members: Members) -> None:
    with (
        pytest.raises(OSError, match="No space left"),
        members.attempt(members.open("a", {})),
    ):
        raise OSError(28, "No space left on device")
    assert members.failed == []
