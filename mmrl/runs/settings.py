"""Settings that the runs of both tasks have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mmrl.settings import ConfigError, plain, unknown_setting

LONGEST = 120
"""Bytes of a name; file systems have 255, and more is added to it."""
SLASHES = frozenset("/\\")


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that are no groups, see `TrainConfig`.

    Raises:
        ValueError: A name that cannot be part of a file's name.
    """

    task: str = "control"
    experiment: str = "default"
    label: str = "agent"
    seed: int = 0
    device: str = "auto"
    outputs: str = "outputs"
    encoder: str | None = None
    threads: int | None = 1

    def __post_init__(self) -> None:
        check_name("experiment", self.experiment)
        check_name("label", self.label)
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, or null, got {self.threads}")


@dataclass(frozen=True)
class SweepConfig:
    """Several runs in one folder, joined in one table and one plot.

    Args:
        runs: What each run has in place of the other settings, by the label that tables and plots
            show; empty: a single run. A group that names what it is of (a method, an algorithm, an
            environment, a data set) takes the whole group's place, all else is merged.
        rates: Missing rates in training, of every run; empty: what the settings say.
        seeds: Seeds of the runs, one run for each label, rate and seed.
    """

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be at least one and differ, got {list(self.seeds)}")
        if len(set(self.rates)) < len(self.rates):
            raise ValueError(f"rates must differ, got {list(self.rates)}")
        if self.rates and not self.runs:
            raise ValueError(
                f"rates={list(self.rates)} belong to a sweep, which has no runs: add "
                "+sweep.runs.<label>=..., or set the rate of a single run"
            )
        for label, own in self.runs.items():
            check_name("the label of a run", label)
            if wrong := sorted(set(own) & {"label", "outputs", "seed", "sweep", "task"}):
                raise ValueError(f"runs.{label} cannot have a {wrong[0]} of its own")


def check_known(content: Mapping[str, Any], groups: Collection[str]) -> None:
    """Refuses what is neither a group of a run's settings nor one of `RunSettings`.

    Args:
        content: The settings, as plain data.
        groups: Names of the groups that the run's task has.

    Raises:
        ConfigError: There are others; what is known is said.
    """
    known = [*(f.name for f in fields(RunSettings)), *groups]
    if unknown := [key for key in content if key not in known]:
        raise ConfigError(unknown_setting("", unknown, known))


def to_stored(config: Any, without: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a run as `config.yaml` has them: plain data that its task reads.

    Args:
        config: A frozen dataclass whose `method` and `method_settings` are one group of the file.
        without: Settings of the method that no file has.
    """
    content = asdict(config)
    method = content.pop("method_settings") or {}
    settings = {key: value for key, value in method.items() if key not in without}
    stored = plain({**content, "method": {"name": config.method, **settings}})
    assert isinstance(stored, dict)
    return stored


def check_name(what: str, name: str) -> None:
    """Refuses what cannot be the name of a folder, or would lead out of the one it is in.

    Args:
        what: The setting, named in messages.
        name: The value that it has.

    Raises:
        ValueError: It cannot.

    Example:
        >>> check_name("label", "../x")
        Traceback (most recent call last):
        ValueError: label is '../x': folders are named by it, so it cannot have slashes, ...
    """
    if not name or name.startswith(".") or set(name) & SLASHES or not name.isprintable():
        raise ValueError(
            f"{what} is {name[:40]!r}: folders are named by it, so it cannot have slashes, begin "
            "with a dot, or be empty"
        )
    if len(name.encode()) > LONGEST:
        raise ValueError(f"{what} has more than {LONGEST} bytes, and folders are named by it")
