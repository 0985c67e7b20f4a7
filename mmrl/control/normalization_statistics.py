"""What the wrapper `normalize` reads is kept in the folder of a run, which can then be moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mmrl.control.config import TrainConfig, from_mapping
from mmrl.files import read_bytes, write_atomically
from mmrl.runs.folder import RunFolder

MOST = 2**28
"""Bytes that a file of statistics can have."""


def config_of(run: RunFolder) -> TrainConfig:
    """The configuration of a run, whose environment reads the statistics in the run's folder.

    Raises:
        ConfigError: See `from_mapping`.
    """
    return _reading_kept(from_mapping(run.config), run.path)


def keep_statistics(config: TrainConfig, folder: Path) -> TrainConfig:
    """Copies statistics that the environment's wrappers read, unless they are there.

    Args:
        config: Configuration of the run.
        folder: The run's.

    Returns:
        The configuration that reads the copies.

    Raises:
        OSError: A file of statistics does not exist, or its copy cannot be written.
    """
    for number, spec in enumerate(config.env.wrappers):
        kept = _place(folder, number)
        if _has_statistics(spec) and not kept.exists():
            write_atomically(kept, read_bytes(spec["statistics"], MOST))
    return _reading_kept(config, folder)


def _reading_kept(config: TrainConfig, folder: Path) -> TrainConfig:
    """Folders of older runs have no copies: what is not there is read from where it was."""
    wrappers = [
        {**spec, "statistics": str(kept)}
        if _has_statistics(spec) and (kept := _place(folder, number)).exists()
        else spec
        for number, spec in enumerate(config.env.wrappers)
    ]
    return replace(config, env=replace(config.env, wrappers=wrappers))


def _has_statistics(spec: dict[str, Any]) -> bool:
    return spec["name"] == "normalize" and spec.get("statistics") is not None


def _place(folder: Path, number: int) -> Path:
    return folder / f"normalize-{number}.npz"
