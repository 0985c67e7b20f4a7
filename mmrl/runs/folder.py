"""The folder of a run: what it holds, which stages are finished, how a run is continued.

A stage writes its files whole or not at all and is then marked in `stages.json`. A run that is
killed at any moment therefore leaves finished stages and, at most, files that the next attempt
replaces.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import distributions
from itertools import count
from pathlib import Path
from typing import Any

from mmrl.files import FileError, brief, read_json, read_yaml, write_atomically, yaml_text
from mmrl.runs.foreign import keep_modules_out
from mmrl.runs.leftovers import NEW_RUN, TEMPORARY, sweep
from mmrl.runs.lock import alone

LONGEST = 200
"""Characters of the path of a file in a run folder."""
CONFIG = "config.yaml"
VERSIONS = "versions.json"
STAGES = "stages.json"
METRICS = "metrics.json"


class RunFolderError(ValueError):
    """A run folder that is missing, empty, damaged or belongs to another configuration."""


class RunFolder:
    """One run's folder; made by `create` or `open`.

    Args:
        path: The folder.
        config: The resolved configuration that it was made with, as plain data.
        stages: What is known about each finished stage, by name.
    """

    def __init__(
        self, path: Path, config: Mapping[str, Any], stages: dict[str, dict[str, Any]]
    ) -> None:
        self.path = path
        self.config = config
        self.stages = stages

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunFolder:
        """Makes a new folder with `config.yaml` and `versions.json`.

        Args:
            path: Where; if it exists, `-2`, `-3`, … is appended: no folder is used twice.
            config: The resolved configuration, as plain data.

        Raises:
            OSError: The folder cannot be made or written.
        """
        # Under another name until it is complete: a kill leaves no folder that looks like a run.
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, NEW_RUN)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        run = cls(temporary, config, {})
        try:
            with alone(temporary):  # or another process would sweep it away
                run.write_text(CONFIG, yaml_text(config))
                run.write_json(VERSIONS, versions())
                temporary.chmod(0o755)
                run.path = _rename_unused(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return run

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Reads a folder that an earlier run left; modules in it will not be imported.

        Raises:
            RunFolderError: There is no run there, or it is damaged.
        """
        path = Path(path)
        if path.is_symlink():  # `latest` may point elsewhere before this run ends
            path = path.parent / path.readlink()
        if not path.is_dir():
            raise RunFolderError(f"no run folder at {path}{_neighbours(path.parent)}")
        keep_modules_out(path)
        config = _read_config(path)
        stages = _read_stages(path)
        for stage, facts in stages.items():
            missing = [name for name in facts["files"] if not (path / name).exists()]
            if missing:
                raise RunFolderError(
                    f"{path} is damaged: stage {stage!r} is marked as finished, but "
                    f"{', '.join(missing)} is missing; put it back, or start a new run"
                )
        return cls(path, config, stages)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from working in the folder, and removes what killed ones left.

        Raises:
            RunFolderError: Another process is at work in it.
        """
        with alone(self.path) as is_alone:
            if not is_alone:
                raise RunFolderError(
                    f"another process is at work in {self.path}: wait until it ends, or end it"
                )
            for stage in self.stages:
                shutil.rmtree(self.scratch(stage), ignore_errors=True)
            parts = [p for p in self.path.iterdir() if p.is_dir() and not (p / CONFIG).exists()]
            for folder in (self.path, *parts):
                sweep(folder, TEMPORARY)
            yield

    def finished(self, stage: str) -> bool:
        """Whether a stage has written all of its files."""
        return stage in self.stages

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds so far.

        Raises:
            RunFolderError: It is damaged.
        """
        file = self.path / METRICS
        if not file.exists():
            return {}
        try:
            found = read_json(file)
        except (OSError, FileError) as error:
            raise RunFolderError(f"{brief(error)}; remove it to go on without") from error
        if not isinstance(found, dict):
            raise RunFolderError(f"{file} is damaged: it has no metrics by name")
        return found

    def add_metrics(self, **findings: Mapping[str, Any]) -> None:
        """Adds what a stage found to `metrics.json`."""
        self.write_json(METRICS, {**self.metrics(), **findings})

    def scratch(self, stage: str) -> Path:
        """Where an interrupted stage keeps what it continues from."""
        return self.path / f".{stage}"

    @contextmanager
    def stage(self, name: str, files: tuple[str, ...]) -> Iterator[Path]:
        """Runs a stage and marks it as finished if its body ends without an error.

        Args:
            name: Name of the stage.
            files: What the body writes, relative to the folder.

        Yields:
            A folder for what an interrupted stage continues from; removed when it is finished.
        """
        scratch = self.scratch(name)
        scratch.mkdir(exist_ok=True)
        start = time.monotonic()
        try:
            yield scratch
            self._finish(name, time.monotonic() - start, files)
        except Exception as error:
            if is_full_disk(error):
                raise RunFolderError(self._no_space(name)) from error
            raise
        shutil.rmtree(scratch, ignore_errors=True)

    def _finish(self, name: str, seconds: float, files: tuple[str, ...]) -> None:
        missing = [file for file in files if not (self.path / file).exists()]
        assert not missing, f"stage {name} did not write {missing}"
        facts = {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "files": list(files),
        }
        stages = {**self.stages, name: facts}
        self.add_metrics(seconds={stage: known["seconds"] for stage, known in stages.items()})
        self.write_json(STAGES, stages)
        self.stages = stages

    def _no_space(self, stage: str) -> str:
        kept = ", ".join(self.stages) or "none yet"
        return (
            f"the disk is full: stage {stage!r} of {self.path} is not finished. Finished stages "
            f"are kept ({kept}). Free some space and continue with: python -m mmrl.train "
            f"resume={self.path}"
        )

    def write_text(self, name: str, text: str) -> Path:
        """Writes a text file whole or not at all."""
        return self.write_bytes(name, text.encode())

    def write_json(self, name: str, content: Any) -> Path:
        """Writes JSON whole or not at all; not-a-number becomes null, as JSON knows none."""
        return self.write_text(name, json_text(content))

    def write_bytes(self, name: str, content: bytes) -> Path:
        """Writes a file whole or not at all."""
        write_atomically(self.path / name, content)
        return self.path / name

    def files(self) -> list[str]:
        """What the folder holds, without what stages continue from."""
        found = (p.relative_to(self.path) for p in sorted(self.path.rglob("*")) if p.is_file())
        return [str(p) for p in found if not p.parts[0].startswith(".")]

    def contents(self) -> list[str]:
        """The folder's files and, with a slash, the folders in it, for people."""
        parts = [Path(name).parts for name in self.files()]
        return list(dict.fromkeys(p[0] + "/" * (len(p) > 1) for p in parts))

    def new_subfolder(self, stem: str) -> Path:
        """Makes `<stem>-1`, or the next number that is free."""
        for number in count(1):
            try:
                (made := self.path / f"{stem}-{number}").mkdir()
            except FileExistsError:
                continue
            return made
        raise AssertionError("unreachable")

    def discard(self, stage: str, *names: str) -> None:
        """Deletes files of a finished stage that nothing needs any more."""
        facts = self.stages[stage]
        facts["files"] = [name for name in facts["files"] if name not in names]
        self.write_json(STAGES, self.stages)
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def point_latest(self, link: Path) -> str | None:
        """Lets the symbolic link `link` point here, replacing an older link at once.

        Returns:
            Why there is no link, where the file system has none or something else has its name.
        """
        if link.exists() and not link.is_symlink():
            return f"{link} is not a link and was left as it is"
        temporary = link.with_name(f".{link.name}.{os.getpid()}")
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(os.path.relpath(self.path, link.parent))
            temporary.replace(link)
        except (OSError, NotImplementedError) as error:
            temporary.unlink(missing_ok=True)
            return f"{link} could not be made ({error})"
        return None


def differences(
    stored: Mapping[str, Any], given: Mapping[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Where two configurations differ: (stored, given) by dotted key.

    Example:
        >>> differences({"seed": 0, "fit": {"steps": 9}}, {"seed": 0, "fit": {"steps": 3}})
        {'fit.steps': (9, 3)}
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**stored, **given}:
        a, b = stored.get(key), given.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found |= differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found[f"{prefix}{key}"] = (a, b)
    return found


def json_text(content: Any) -> str:
    """JSON in lines; not-a-number becomes null, as JSON knows none."""
    return json.dumps(_json(content), indent=2, allow_nan=False) + "\n"


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that no space is left."""
    chain: BaseException | None = error
    while chain is not None:
        full = (errno.ENOSPC, errno.EDQUOT)
        if isinstance(chain, OSError) and chain.errno in full:
            return True
        if "No space left on device" in str(chain):  # libraries in other languages lose the number
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def versions() -> dict[str, Any]:
    """What a result depends on beside the configuration: interpreter, machine, packages, commit."""
    packages = {d.metadata["Name"]: d.version for d in distributions()}
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "commit": _commit(),
        "command": sys.argv,
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _commit() -> str | None:
    """The commit of the checkout that this module runs from, with `+` if files were changed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL
    )
    return done.stdout.strip()


def _rename_unused(folder: Path, path: Path) -> Path:
    for number in count(1):
        target = path if number == 1 else Path(f"{path}-{number}")
        if target.exists():
            continue
        try:
            return folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    raise AssertionError("unreachable")


def _neighbours(parent: Path) -> str:
    names = [p.parent.name for p in sorted(parent.glob(f"*/{CONFIG}"))]
    return f"; runs in {parent}: {', '.join(names[-8:])}" if names else ""


def _read_config(path: Path) -> Mapping[str, Any]:
    file = path / CONFIG
    if not file.exists():
        holds = sorted(p.name for p in path.iterdir())[:8]
        what = f"it holds {', '.join(holds)}" if holds else "it is empty"
        raise RunFolderError(f"{path} is not the folder of a run: no {CONFIG} ({what})")
    try:
        config = read_yaml(file)
    except (OSError, FileError) as error:
        raise RunFolderError(brief(error)) from error
    if not isinstance(config, Mapping):
        raise RunFolderError(f"{file} is damaged: it holds no settings")
    return config


def _read_stages(path: Path) -> dict[str, dict[str, Any]]:
    file = path / STAGES
    if not file.exists():
        return {}
    try:
        return {str(name): _facts(facts) for name, facts in read_json(file).items()}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {brief(error)}"
        raise RunFolderError(
            f"{file} is damaged ({what}); remove it to repeat all stages"
        ) from error


def _facts(plain: Mapping[str, Any]) -> dict[str, Any]:
    files = plain["files"]
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise ValueError("its files are no list of names")
    if long := [name for name in files if len(name) > LONGEST]:
        raise ValueError(f"a file with a name of {len(long[0])} characters")
    if outside := [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise ValueError(f"{outside[0]!r} is no file of the run")
    seconds = float(plain["seconds"])
    return {"finished": str(plain["finished"]), "seconds": seconds, "files": files}


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if hasattr(value, "tolist"):
        return _json(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return None
    return value
