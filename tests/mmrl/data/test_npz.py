import io
import os
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mmrl.data.npz import read_npy, read_npz
from mmrl.files import FileError, brief, open_plain, read_bytes

ARRAYS = {"train/image": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "names": np.array(["ab"])}


def npz(path: Path, arrays: dict[str, np.ndarray] = ARRAYS) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def header(text: str) -> bytes:
    """An npy file whose header says anything, and eight bytes."""
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + bytes(8)


def test_arrays_are_what_was_written(tmp_path: Path) -> None:
    arrays = {**ARRAYS, "fortran": np.asfortranarray(np.ones((3, 2))), "empty": np.zeros((0, 4))}
    found = read_npz(npz(tmp_path / "x.npz", arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    np.save(tmp_path / "x.npy", arrays["fortran"])
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), arrays["fortran"])


def fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices have names on POSIX systems")
@pytest.mark.parametrize("make", [fifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("read", [open_plain, read_npz, read_npy, lambda p: read_bytes(p, 9)])
def test_what_is_no_plain_file_is_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    make(tmp_path / "x")
    with pytest.raises(FileError, match=r"x is (a folder|a pipe, a device or a socket)"):
        read(tmp_path / "x")


def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


def test_files_have_a_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(10))
    assert len(read_bytes(tmp_path / "x", 10)) == 10
    with pytest.raises(FileError, match="too large for what it should be: over 9 bytes"):
        read_bytes(tmp_path / "x", 9)


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 0)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [1, 2], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 1}",
        "__import__('os').mkdir('evil')",
        "[" * 100,
    ],
)
def test_headers_are_not_believed(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("x.npz", "w") as archive:
        archive.writestr("a.npy", header(text))
    with pytest.raises(FileError, match="npz is damaged or no npz file of plain arrays") as error:
        read_npz("x.npz")
    assert len(str(error.value)) < 300
    Path("x.npy").write_bytes(header(text))
    with pytest.raises(FileError, match="npy is damaged"):
        read_npy("x.npy")
    assert not Path("evil").exists()


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    packed = zipfile.ZIP_DEFLATED, True, 1
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", *packed) as bomb, bomb.open("a", "w") as a:
        for _ in range(600):
            a.write(bytes(2**20))
    with pytest.raises(FileError, match=r"MB in it would unpack to 0.6 GB"):
        read_npz(tmp_path / "bomb.npz")


def test_every_change_of_a_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **ARRAYS)  # type: ignore[arg-type]
    whole = buffer.getvalue()
    rng = np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] = rng.integers(256)
        (tmp_path / "x.npz").write_bytes(changed)
        found = {}
        with suppress(FileError):
            found = read_npz(tmp_path / "x.npz")
        for array in found.values():  # what was changed is a name, a date, or nothing at all
            assert any(np.array_equal(array, own) for own in ARRAYS.values())


def test_messages_are_short() -> None:
    assert len(brief(ValueError("x" * 5000))) < 200
    assert brief(RuntimeError("first\nsecond")) == "first"
