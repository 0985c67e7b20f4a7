import collections
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrl.data import DataError
from mmrl.data.restricted import read_pickle


def dump(content: Any, path: Path, protocol: int | None = None) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_are_read(tmp_path: Path, protocol: int) -> None:
    content: dict[str, Any] = {
        "train": collections.OrderedDict(text=np.arange(6, dtype=np.float32).reshape(2, 3)),
        "id": np.array(["a$_$1", "b$_$2"]),
        "raw": np.array(["some text", "more"], dtype=object),
        "fortran": np.asfortranarray(np.ones((2, 3))),
        "scalar": np.float32(1.5),
        "plain": [1, 2.5, "x", b"y", None, True, (1, 2), {3}, frozenset({4})],
        "bytes": np.array([b"a", b"bc"]),
    }
    loaded = read_pickle(dump(content, tmp_path / "x.pkl", protocol))
    assert loaded["plain"] == content["plain"]
    assert loaded["scalar"] == 1.5
    assert loaded["raw"].tolist() == ["some text", "more"]
    for key in ("id", "fortran", "bytes"):
        np.testing.assert_array_equal(loaded[key], content[key])
    np.testing.assert_array_equal(loaded["train"]["text"], content["train"]["text"])


class Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Own:
    pass


@pytest.mark.parametrize(
    "content",
    [
        Evil(os.system, "touch evil"),
        Evil(eval, "open('evil', 'w')"),
        Evil(exec, "open('evil', 'w')"),
        Evil(subprocess.check_call, ["touch", "evil"]),
        Evil(getattr, "text", "format"),
        Evil(np.save, "evil.npy", 1),
        Evil(np.load, "x.npy"),
        Evil(Path, "x"),
        Own(),
        {"deep": [np.array([Evil(os.system, "touch evil")], dtype=object)]},
        collections.defaultdict(list),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_anything_else_is_refused_and_not_run(
    tmp_path: Path, content: Any, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dump(content, tmp_path / "x.pkl", protocol)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"is not read: it holds a .*; only numpy arrays"):
        read_pickle(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pkl"]


class Forged:
    """An array of which numpy would believe that eight bytes of the file are a pointer."""

    def __init__(self, function: Any, arguments: Any, state: Any = None) -> None:
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


OBJECTS = np.dtype("O")
RECONSTRUCT = np.zeros(1).__reduce__()[0]
FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]
RECORD = Forged(np.dtype, ("V8",), (3, "|", None, ("x",), {"x": (OBJECTS, 0)}, 8, 1, 0))


@pytest.mark.parametrize(
    "content",
    [
        Forged(np.ndarray, ((1,), OBJECTS, b"A" * 8)),
        Forged(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), OBJECTS, False, b"A" * 8)),
        Forged(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), RECORD, False, b"A" * 8)),
        Forged(FROM_BUFFER, (b"A" * 8, RECORD, (1,), "C")),
        Forged(FROM_BUFFER, (b"A" * 8, OBJECTS, (1,), "C")),
        Forged(np.float32(1).__reduce__()[0], (OBJECTS, b"A" * 8)),
        Forged(np.float32(1).__reduce__()[0], (np.dtype("f8"), b"A")),
        np.zeros(2, [("a", "f4"), ("b", "O")]),
        np.zeros(2, "M8[s]"),
        Forged(list, (Forged(bytearray, (b"A" * 9,)),)),
        Forged(set, (9,)),
    ],
)
def test_forged_arrays_are_refused(tmp_path: Path, content: Any) -> None:
    path = dump(content, tmp_path / "x.pkl")
    with pytest.raises(DataError, match=r"x.pkl is not read: it holds a"):
        read_pickle(path)


def test_only_plain_bytes_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"c_codecs\nencode\n(Vabc\nVrot13\ntR.")
    with pytest.raises(DataError, match="encoding 'rot13'"):
        read_pickle(path)


@pytest.mark.parametrize("kind", [bytearray, list, tuple])
def test_no_size_is_believed(tmp_path: Path, kind: Any) -> None:
    path = dump(Forged(kind, (3_000_000_000,)), tmp_path / "x.pkl")
    with pytest.raises(DataError, match=r"x.pkl is damaged|it holds a forged"):
        read_pickle(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none.pkl"):
        read_pickle(tmp_path / "none.pkl")
    whole = pickle.dumps({"a": np.zeros(100)})
    for content in (b"", whole[:-20], b"not a pickle at all"):
        (tmp_path / "x.pkl").write_bytes(content)
        with pytest.raises(DataError, match=r"x.pkl"):
            read_pickle(tmp_path / "x.pkl")
