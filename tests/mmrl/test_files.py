from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmrl.files import FileError, read_json, read_text, read_yaml, yaml_text

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_json, b""),
        (read_json, b"{"),
        (read_json, b"\xff\xfe\x00"),
        (read_json, b"[" * 100_000),
        (read_json, b"1" * 5_000),
        (read_yaml, b"a: ["),
        (read_yaml, b"\x00\x01"),
        (read_yaml, b"\xff\xfe\x00"),
        (read_yaml, b"[" * 5_000),
        (read_yaml, b"a: 1" + b"0" * 6_000),
        (read_yaml, b"!!python/object/apply:os.mkdir ['evil']"),
        (read_yaml, b"? {a: 1}\n: 2"),
        (read_yaml, b"d: 2026-99-99"),
        (read_text, b"\xff"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(
    tmp_path: Path,
    read: Callable[[Path], Any],
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(content)
    with pytest.raises(FileError, match="x is damaged or no ") as error:
        read(Path("x"))
    assert len(str(error.value)) < 300
    assert not Path("evil").exists()


def test_aliases_are_refused_before_they_are_many(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(LAUGHS)
    with pytest.raises(FileError, match="has aliases"):
        read_yaml(tmp_path / "x")


def test_what_is_written_has_none(tmp_path: Path) -> None:
    shared = [1, 2]
    content = {"z": shared, "a": {"again": shared, "text": "ü: yes"}}
    (tmp_path / "x").write_text(yaml_text(content), encoding="utf-8")
    assert read_yaml(tmp_path / "x") == content
    assert list(read_yaml(tmp_path / "x")) == ["z", "a"]
