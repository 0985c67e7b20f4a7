"""Saving and loading of methods: weights as safetensors, beside them a readable description."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from mmrl.files import write_atomically
from mmrl.methods import METHODS, Method

FORMAT = "mmrl-method"
VERSION = 1


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign or does not fit."""


def save(method: Method, folder: Path | str, name: str = "encoder") -> None:
    """Writes `<name>.safetensors` (all weights and input statistics) and `<name>.yaml`.

    The description names the method, its modalities and settings, and the checksum of the weights,
    so that a pair of files which do not belong together is noticed.

    Args:
        method: What is saved.
        folder: Made if it does not exist.
        name: Stem of both files.
    """
    folder = Path(folder)
    weights = {key: value.contiguous() for key, value in method.state_dict().items()}
    content = save_tensors(weights)
    description = {
        "format": FORMAT,
        "version": VERSION,
        **method.describe(),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(folder / f"{name}.safetensors", content)
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    write_atomically(folder / f"{name}.yaml", text.encode())


def load(folder: Path | str, name: str = "encoder", device: torch.device | str = "cpu") -> Method:
    """Builds a method from its description and fills in its weights.

    Args:
        folder: A folder with `<name>.yaml` and `<name>.safetensors`, or the path of either file.
        name: Stem of both files, where a folder is given.
        device: Where the method is put.

    Returns:
        The method, in evaluation mode.

    Raises:
        CheckpointError: A file is missing or damaged, comes from somewhere else, or weights and
            description do not fit each other.
    """
    path = Path(folder)
    if path.suffix in (".yaml", ".safetensors"):
        path, name = path.parent, path.stem
    description = _read_description(path / f"{name}.yaml")
    content = _read(path / f"{name}.safetensors")
    if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
        raise CheckpointError(
            f"{path / name}.safetensors is damaged or belongs to another {name}.yaml: its checksum "
            "is not the one that the description records"
        )
    try:
        weights = load_tensors(content)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path / name}.safetensors is no safetensors file: {error}"
        ) from error
    method = _build(description, path / f"{name}.yaml")
    try:
        method.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit {name}.yaml: {error}") from error
    return method.to(device).eval()


def _build(description: Mapping[str, Any], path: Path) -> Method:
    name = description["method"]
    if name not in METHODS:
        raise CheckpointError(f"{path} wants the method {name!r}; known: {sorted(METHODS)}")
    try:
        return METHODS[name].from_description(description["modalities"], description["config"])
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} does not describe a {name!r} method: {error}") from error


def parse_description(
    content: bytes, path: Path, *, of: str, form: str, version: int, wanted: set[str]
) -> Mapping[str, Any]:
    """The description that stands beside weights, checked.

    Args:
        content: Content of the file.
        path: The file, for messages.
        of: What it should describe, for messages.
        form: The value that `format` should have.
        version: The one that this release reads.
        wanted: Keys that it needs.

    Raises:
        CheckpointError: It is no YAML, describes something else, or is damaged.
    """
    try:
        description = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(description, Mapping) or description.get("format") != form:
        raise CheckpointError(f"{path} is not a description of a {of} (format: {form})")
    if description.get("version") != version:
        raise CheckpointError(
            f"{path} has version {description.get('version')!r}; this release reads {version}"
        )
    if missing := sorted(wanted - set(description)):
        raise CheckpointError(f"{path} is damaged: it has no {', '.join(missing)}")
    return description


def _read_description(path: Path) -> Mapping[str, Any]:
    wanted = {"method", "modalities", "config", "weights_sha256"}
    return parse_description(
        _read(path), path, of="method", form=FORMAT, version=VERSION, wanted=wanted
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        present = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        raise CheckpointError(f"no checkpoint at {path}; the folder holds {present}") from error
