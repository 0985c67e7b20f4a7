"""Files: written so that a crash leaves the old one or the new one, and read without belief.

Others may have made what is read: it must be a plain file, never a pipe or a device that would not
end, of bounded size; and what it says that it holds is checked before memory is taken for it.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import yaml

PathLike = str | os.PathLike[str]

MOST_YAML = 2**20
MOST_TEXT = 2**28
"""Bytes that such files can have; a description has some thousand."""
MOST_UNPACKED, MOST_RATIO = 2**29, 100
"""An archive with more bytes than this, so much compressed, is taken for an attack."""
MESSAGE = 160
"""Characters of another library's message that are passed on."""


class FileError(ValueError):
    """A file that is no plain file, too large, damaged, or not what it should be."""


def open_plain(path: PathLike) -> BinaryIO:
    """Opens a plain file for reading bytes.

    Raises:
        FileError: It is a folder, a pipe, a device or a socket.
        OSError: It does not exist, or may not be read.
    """
    # A pipe would be waited for; after the look nothing else can take the file's place.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"
        raise FileError(f"{os.fspath(path)} is {what}, where a file is expected")
    return os.fdopen(handle, "rb")


def read_bytes(path: PathLike, most: int) -> bytes:
    """All of a plain file.

    Args:
        path: Where the file is.
        most: Bytes that such a file can have.

    Raises:
        FileError: It is no plain file, or larger.
        OSError: It does not exist, or may not be read.
    """
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FileError(f"{os.fspath(path)} is too large for what it should be: over {most} bytes")
    return content


def check_archive(archive: ZipFile) -> None:
    """Refuses an archive that is made to fill the memory.

    Raises:
        FileError: Its files are larger than 512 MiB, and a hundred times what they take in it.
    """
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if unpacked > MOST_UNPACKED and unpacked > MOST_RATIO * packed:
        raise FileError(
            f"{packed / 1e6:.0f} MB in it would unpack to {unpacked / 1e9:.1f} GB, which is taken "
            "for an attack; where it is none, save it without compression"
        )


def brief(error: BaseException) -> str:
    r"""The first line of an error, cut where it is long; its type where it says nothing.

    Example:
        >>> brief(KeyError()), brief(ValueError("two\nlines"))
        ('KeyError', 'two')
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= MESSAGE else f"{line[:MESSAGE]}…"


def read_text(path: PathLike, encoding: str = "utf-8", most: int = MOST_TEXT) -> str:
    """All of a plain file of text.

    Args:
        path: Where the file is.
        encoding: How the text is encoded.
        most: Bytes that such a file can have.

    Raises:
        FileError: It is no plain file, larger, or no such text.
        OSError: It does not exist, or may not be read.
    """
    content = read_bytes(path, most)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileError(f"{os.fspath(path)} is damaged or no text: {brief(error)}") from error


def read_json(path: PathLike) -> Any:
    """What a file of JSON holds.

    Raises:
        FileError: It is damaged, or no plain file.
        OSError: It does not exist, or may not be read.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{os.fspath(path)} is damaged or no JSON: {brief(error)}") from error


def read_yaml(path: PathLike) -> Any:
    """What a file of YAML holds; tags that would make objects are refused.

    Raises:
        FileError: It is damaged, no plain file, or has aliases, by which a few lines can stand for
            more than fits in memory.
        OSError: It does not exist, or may not be read.
    """
    text = read_text(path, most=MOST_YAML)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader)):
            raise FileError(f"{os.fspath(path)} has aliases (*name): write out what they stand for")
        return yaml.load(text, _Loader)  # noqa: S506  # the safe loader, in C where there is one
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{os.fspath(path)} is damaged or no YAML: {brief(error)}") from error


def yaml_text(content: Mapping[str, Any]) -> str:
    """Plain data as YAML in the order in which they are, and without aliases."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: into a temporary file beside it, then renamed.

    Args:
        path: Where to; missing folders are made, an earlier file is replaced.
        content: What.

    Raises:
        OSError: The disk is full or the folder cannot be written; an earlier file is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode())
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"could not write {path} ({error.strerror}); an earlier file is kept"
            raise OSError(error.errno, reason) from error
        raise


def _mode() -> int:
    """Permissions of a new file; temporary ones are for their owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
