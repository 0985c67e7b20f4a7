"""Mutates the files of run folders, and settings: each must be read, or refused in a sentence.

python tools/fuzz.py 20000 300 outputs/one-run outputs/another-run

Of each kind of file it damages copies (bits, cuts, numbers that are absurd, values of other types,
members of archives, checksums that fit again) and reads them as the commands do. What counts: other
errors than the package's own, reading that takes longer than two seconds or a gigabyte, messages of
more than 300 characters besides the path, and any program that is started.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from mmrl import checkpoint
from mmrl.checkpoint import CheckpointError
from mmrl.data.arrays import ArrayData
from mmrl.data.custom import load_file
from mmrl.data.dataset import DataError
from mmrl.data.protocol import Drawn
from mmrl.files import FileError
from mmrl.launch import task_of
from mmrl.report.results import read_results
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.runs.progress import read_curve
from mmrl.settings import ConfigError
from mmrl_agents.agent import Agent

SECONDS, MEGABYTES, CHARACTERS = 2.0, 1000, 300
OWN = (CheckpointError, ConfigError, DataError, FileError, RunFolderError)
STARTS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect")
ABSURD: tuple[Any, ...] = (
    *(-1, 0, 1, 10**9, 10**23, 1e308, float("nan"), float("inf"), True, None, "", "x" * 5000),
    *("../../evil", "os:system", "evil.evil:X-v0", [], {}, [1] * 50, [[[]]], {"a": {"b": 1}}),
)

Content = dict[str, bytes]
Read = Callable[[Path], object]


class HangError(BaseException):
    """Something took longer than it may."""


@dataclass
class Found:
    """What came of the cases.

    Attributes:
        outcomes: How many cases of each kind were read, refused, or went wrong.
        wrong: A line for each case that went wrong.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: str, what: str = "") -> None:
        """Counts a case."""
        self.outcomes.setdefault(kind, Counter())[outcome] += 1
        if outcome not in ("read", "refused"):
            self.wrong.append(f"{kind}: {outcome}: {what}")


@contextmanager
def hanging_after(seconds: float) -> Iterator[None]:
    """Raises `HangError` in the middle of what takes longer."""

    def stop(_: int, __: FrameType | None) -> None:
        raise HangError

    # Seconds of this process, for the machine may be busy; and some that pass, for pipes wait.
    timers = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: 15 * seconds}
    before = {number: signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)}
    for timer, limit in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def attempt(found: Found, kind: str, work: Callable[[], object], seconds: float, path: str) -> None:
    """Does something that may be refused, and counts what came of it."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    STARTED.clear()
    try:
        with hanging_after(seconds):
            work()
        outcome, what = "read", ""
    except OWN as error:
        message = str(error).replace(path, "")
        outcome, what = "refused", message
        if len(message.partition("; known")[0]) > CHARACTERS or "weights_only=False" in message:
            outcome = "message"
    except HangError:
        outcome, what = "hang", traceback.format_exc().splitlines()[-2]
    except Exception:
        outcome, what = "traceback", " / ".join(traceback.format_exc().splitlines()[-3:])
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory > MEGABYTES * 1000:
        outcome = "memory"
    if STARTED:
        outcome, what = "started", STARTED[0]
    found.add(kind, outcome, what[:400])


STARTED: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes what starts a program or talks to a network."""
    if event in STARTS:
        STARTED.append(f"{event} {arguments!r}")


# How bytes, text, plain data and archives are damaged.


def damage(content: bytes, rng: random.Random) -> bytes:
    """Bytes with something wrong in them."""
    changed = bytearray(content or b"\0")
    place = rng.randrange(len(changed))
    match rng.randrange(7):
        case 0:
            for _ in range(rng.choice((1, 1, 3, 30))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        case 1:
            return bytes(changed[:place])
        case 2:
            return bytes(changed[place:])
        case 3:
            changed[place:place] = rng.randbytes(rng.choice((1, 8, 500)))
        case 4:
            del changed[place : place + rng.choice((1, 8, 500))]
        case 5:
            changed[place : place + 8] = rng.choice((b"\0" * 8, b"\xff" * 8))
        case _:
            return rng.choice((b"", b"\0", b"null", b"[]", b"PK\x05\x06" + bytes(18), b"\xff" * 99))
    return bytes(changed)


def damage_numbers(content: bytes, rng: random.Random) -> bytes:
    """Text with another number or word in the place of one."""
    spans = [m.span() for m in re.finditer(rb"[0-9.]+|[a-z_]+", content)]
    if not spans:
        return damage(content, rng)
    start, end = rng.choice(spans)
    other = rng.choice((b"-1", b"0", b"1" + b"0" * 9, b"9" * 30, b".nan", b"null", b"*a", b"'x'"))
    return content[:start] + other + content[end:]


def damage_plain(content: Any, rng: random.Random) -> Any:
    """Plain data with something absurd in one place, or without it."""
    if isinstance(content, Mapping) and content and rng.random() < 0.9:
        changed: dict[Any, Any] = dict(content)
        key = rng.choice(list(changed))
        if rng.random() < 0.15:
            del changed[key]
        else:
            changed[key] = damage_plain(changed[key], rng)
        return changed
    if isinstance(content, list) and content and rng.random() < 0.7:
        items = list(content)
        place = rng.randrange(len(items))
        items[place] = damage_plain(items[place], rng)
        return items
    return rng.choice(ABSURD)


def damage_archive(content: bytes, rng: random.Random) -> bytes:
    """A zip with something wrong in one of its members, or of which one is missing."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    if rng.random() < 0.1:
        del members[name]
    elif name.endswith(".json"):
        members[name] = json.dumps(damage_plain(json.loads(members[name]), rng)).encode()
    elif zipfile.is_zipfile(io.BytesIO(members[name])) and rng.random() < 0.6:
        members[name] = damage_archive(members[name], rng)
    else:
        members[name] = damage(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, written in members.items():
            archive.writestr(member, written)
    return buffer.getvalue()


def damage_file(name: str, content: bytes, rng: random.Random) -> bytes:
    """A file damaged as fits its kind."""
    if rng.random() < 0.3:
        return damage(content, rng)
    if name.endswith((".npz", ".zip", ".pt")):
        return damage_archive(content, rng)
    if name.endswith(".json"):
        return json.dumps(damage_plain(json.loads(content), rng)).encode()
    if name.endswith(".yaml") and rng.random() < 0.7:
        return yaml.safe_dump(damage_plain(yaml.safe_load(content), rng)).encode()
    if name.endswith((".yaml", ".csv")):
        return damage_numbers(content, rng)
    return damage(content, rng)


def fit_checksum(folder: Path) -> None:
    """Writes the checksum of damaged weights into the description, so that they are read."""
    for path in folder.glob("*.safetensors"):
        description = path.with_suffix(".yaml")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        line = f"weights_sha256: {digest}"
        text = re.sub(r"(?m)^weights_sha256: .*$", line, description.read_text())
        description.write_text(text)


# What is damaged, and how it is read.


@dataclass(frozen=True)
class Target:
    """Files that are read together.

    Args:
        files: Their names in the run folder; the first is damaged.
        read: Reads them from a folder.
    """

    files: tuple[str, ...]
    read: Read


def read_run(folder: Path) -> object:
    """A run folder as `resume=` and `python -m mmrl.evaluate` read it, short of any work."""
    run = RunFolder.open(folder)
    run.metrics()
    return task_of(run.config).read(run.config, run)


def _inside(read: Read, name: str, folder: Path) -> object:
    return read(folder / name)


def targets(run: Path) -> Iterator[Target]:
    """What there is to damage in a run folder."""
    encoder = ("encoder.yaml", "encoder.safetensors")
    for first in encoder:
        yield Target((first, *(n for n in encoder if n != first)), checkpoint.load)
    if (run / "policy.zip").exists():
        yield Target(("policy.zip", *encoder), Agent.load)
    if (run / "belief.yaml").exists():
        belief = ("belief.yaml", "belief.safetensors")
        for first in belief:
            others = tuple(name for name in belief if name != first)
            yield Target((first, *others, "policy.zip", *encoder), Agent.load)
    for name in ("config.yaml", "stages.json", "metrics.json"):
        own = ("config.yaml", "stages.json", "metrics.json")
        yield Target((name, *(n for n in own if n != name)), read_run)
    readers: dict[str, Read] = {
        "robustness.json": read_results,
        "scores.json": read_results,
        "training.csv": read_curve,
        "fitting.csv": read_curve,
        "data.npz": ArrayData.load,
        "mine.npz": load_file,
    }
    for name, read in readers.items():
        if (run / name).exists():
            yield Target((name,), partial(_inside, read, name))
    for path in sorted((run / "missing").glob("*.npz"))[:1]:
        stem = path.with_suffix("").relative_to(run)
        both = (f"{stem}.npz", f"{stem}.yaml")
        for first in both:
            others = tuple(name for name in both if name != first)
            yield Target((first, *others), partial(_inside, Drawn.load, str(stem)))


def copy(run: Path, target: Target, folder: Path) -> None:
    """What a target reads; of other files of the run, it only matters that they are there."""
    for path in run.rglob("*"):
        other = folder / path.relative_to(run)
        if path.is_file() and str(path.relative_to(run)) in target.files:
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, other)
        elif path.is_file() and "stages.json" in target.files:
            other.parent.mkdir(parents=True, exist_ok=True)
            other.touch()


def try_file(run: Path, target: Target, rng: random.Random, folder: Path, found: Found) -> None:
    """One damaged file."""
    shutil.rmtree(folder, ignore_errors=True)
    copy(run, target, folder)
    name = target.files[0]
    (folder / name).write_bytes(damage_file(name, (run / name).read_bytes(), rng))
    if name.endswith(".safetensors") and rng.random() < 0.7:
        fit_checksum(folder)
    attempt(found, Path(name).name, lambda: target.read(folder), SECONDS, str(folder))


def leaves(content: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place of every setting."""
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from leaves(value, (*where, key))
    else:
        yield where


def try_setting(content: Mapping[str, Any], rng: random.Random, found: Found) -> None:
    """One bad setting, checked as a run checks it before any work."""
    changed = json.loads(json.dumps(content))
    places = [p for p in leaves(changed) if p and p[0] not in ("outputs", "threads")]
    *group, last = rng.choice(places)
    node = changed
    for key in group:
        node = node[key]
    node[last] = value = rng.choice(ABSURD)

    def check() -> None:
        task = task_of(changed)
        task.prepare(task.read(changed))

    before = len(found.wrong)
    attempt(found, "settings", check, 60.0, "")
    for i in range(before, len(found.wrong)):
        found.wrong[i] += f" [{'.'.join([*group, last])}={str(value)[:40]!r}]"


def main(arguments: list[str] | None = None) -> Found:
    """Tries everything, and prints a table; ends with status 1 where something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=int, help="how many damaged files are tried")
    parser.add_argument("settings", type=int, help="how many bad settings")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng, found, start = random.Random(options.seed), Found(), time.monotonic()
    sys.addaudithook(watch)
    chosen = [(run, target) for run in options.runs for target in targets(run)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        spent = [0.0] * len(chosen)
        for run, target in chosen:
            copy(run, target, folder)
            target.read(folder)  # what is whole is read; and what is imported, is imported
            shutil.rmtree(folder)
        for _ in range(options.files):
            number = spent.index(min(spent))  # the same time for each
            began = time.monotonic()
            try_file(*chosen[number], rng, folder, found)
            spent[number] += time.monotonic() - began
        configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in options.runs]
        for content in configs * bool(options.settings):
            task_of(content).prepare(task_of(content).read(content))
        for number in range(options.settings):
            try_setting(configs[number % len(configs)], rng, found)
    for kind, outcomes in sorted(found.outcomes.items()):
        print(f"{kind:24} {sum(outcomes.values()):7}", dict(outcomes))
    print(*Counter(found.wrong).most_common(40), sep="\n")
    total = sum(sum(outcomes.values()) for outcomes in found.outcomes.values())
    print(f"{total} cases in {time.monotonic() - start:.0f} s, {len(found.wrong)} went wrong")
    return found


if __name__ == "__main__":
    sys.exit(bool(main().wrong))
