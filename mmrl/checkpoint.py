"""Saving and loading of methods: weights as safetensors, beside them a readable description."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from mmrl.files import FileError, brief, read_bytes, read_yaml, write_atomically, yaml_text
from mmrl.methods import METHODS, Method
from mmrl.modality import Modality
from mmrl.weights import MOST, load_safetensors, no_larger_than

FORMAT = "mmrl-method"
VERSION = 1
LARGEST = 2**24
"""Numbers of a reading that an encoder with fewer weights can have."""


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
    content = _content(method)
    description = {
        "format": FORMAT,
        "version": VERSION,
        **method.describe(),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(folder / f"{name}.safetensors", content)
    write_atomically(folder / f"{name}.yaml", yaml_text(description).encode())


def fingerprint(network: nn.Module) -> str:
    """Checksum of weights; a saved method's description has it as `weights_sha256`."""
    return hashlib.sha256(_content(network)).hexdigest()


def _content(network: nn.Module) -> bytes:
    # Cloned, as parts of policies share weights.
    return save_tensors(
        {k: x.detach().cpu().contiguous().clone() for k, x in network.state_dict().items()}
    )


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
    with _reading(path / f"{name}.safetensors"):
        content = read_bytes(path / f"{name}.safetensors", MOST)
    if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
        raise CheckpointError(
            f"{path / name}.safetensors is damaged or belongs to another {name}.yaml: its checksum "
            "is not the one that the description records"
        )
    with _reading(path / f"{name}.safetensors"):
        weights = load_safetensors(content)
    method = _build(description, path / f"{name}.yaml", weights.values())
    try:
        method.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit {name}.yaml: {first_misfit(error)}"
        ) from error
    return method.to(device).eval()


def first_misfit(error: RuntimeError) -> str:
    """What torch says first of weights that do not fit a network, which can be pages."""
    lines = str(error).splitlines()
    return brief(RuntimeError(lines[1].strip())) if len(lines) > 1 else brief(error)


def _build(description: Mapping[str, Any], path: Path, weights: Collection[Tensor]) -> Method:
    name = description["method"]
    if not isinstance(name, str) or name not in METHODS:
        known = ", ".join(sorted(METHODS))
        raise CheckpointError(f"{path} wants a method {str(name)[:20]!r}; known: {known}")
    try:
        _check_sizes(description["modalities"], sum(weight.numel() for weight in weights))
        with no_larger_than(weights):
            return METHODS[name].from_description(description["modalities"], description["config"])
    except Exception as error:  # nobody has checked the settings in it
        raise CheckpointError(
            f"{path} does not describe a {name!r} method: {type(error).__name__}: {brief(error)}"
        ) from error


def _check_sizes(modalities: Iterable[Mapping[str, Any]], numbers: int) -> None:
    """Refuses readings that would fill the memory before a network has any weights."""
    for modality in map(Modality.from_plain, modalities):
        if modality.size > max(numbers, LARGEST):
            raise ValueError(f"modality {modality.name!r} of {modality.size} numbers")


def read_description(
    path: Path, *, of: str, form: str, version: int, wanted: set[str]
) -> Mapping[str, Any]:
    """The description that stands beside weights, checked.

    Args:
        path: The file, named in messages.
        of: What it should describe, for messages.
        form: The value that `format` should have.
        version: The one that this release reads.
        wanted: Keys that it needs.

    Raises:
        CheckpointError: It is missing, no YAML, describes something else, or is damaged.
    """
    with _reading(path):
        description = read_yaml(path)
    if not isinstance(description, Mapping) or description.get("format") != form:
        raise CheckpointError(f"{path} is not a description of a {of} (format: {form})")
    if description.get("version") != version:
        found = str(description.get("version"))[:20]
        raise CheckpointError(f"{path} has version {found}; this release reads {version}")
    if missing := sorted(wanted - set(description)):
        raise CheckpointError(f"{path} is damaged: it has no {', '.join(missing)}")
    return description


def _read_description(path: Path) -> Mapping[str, Any]:
    wanted = {"method", "modalities", "config", "weights_sha256"}
    return read_description(path, of="method", form=FORMAT, version=VERSION, wanted=wanted)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        present = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        holds = brief(ValueError(", ".join(present) or "nothing"))
        raise CheckpointError(f"no checkpoint at {path}; the folder holds {holds}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except FileError as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise CheckpointError(f"{where}{error}") from error
