"""Weights of networks: read as tensors and plain values only, and no network outgrows them."""

from __future__ import annotations

import pickletools
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.modules import module as registration

from mmrl.files import FileError, brief, check_archive

MOST = 2**33
"""Bytes that a file of weights can have."""
NETWORKS, SPARE = 4, 1_000
"""How much more than its weights a network may register while it is built: parts are replaced."""
MOST_INDEX = 2**24
PLAIN = (
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
)


def load_safetensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file; all numbers in them are finite.

    Raises:
        FileError: It is something else or damaged, or holds NaN or inf.
    """
    try:
        tensors = load(content)
    except Exception as error:  # of the library in Rust, and of torch
        raise FileError(f"it is no safetensors file: {brief(error)}") from error
    check_finite(tensors)
    return tensors


def load_tensors(content: bytes, device: torch.device | str = "cpu") -> Any:
    """What `torch.save` wrote, where that is tensors, containers, text and numbers.

    Raises:
        FileError: It is something else or damaged, or made to fill the memory.
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            check_archive(archive)
            _check_pickle(archive)
        content_of = torch.load(BytesIO(content), map_location=device, weights_only=True)
        _check_storage(content_of)
        return content_of
    except FileError:
        raise
    except Exception as error:  # torch's message would advise to load it unsafely
        kind = type(error).__name__
        raise FileError(f"it is damaged, or holds more than tensors ({kind})") from error


def check_finite(tensors: Mapping[str, Any]) -> None:
    """Refuses weights by which nothing can be computed.

    Raises:
        FileError: A tensor has NaN or inf; it is named.
    """
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and not bool(torch.isfinite(tensor).all()):
            raise FileError(f"its weights {name} are NaN or inf")


@contextmanager
def no_larger_than(weights: Iterable[Tensor]) -> Iterator[None]:
    """While networks are built in this context, they may not outgrow what they are filled with.

    A description that asks for more is wrong, and memory and time are not spent on it.

    Args:
        weights: What the networks will be filled with.

    Raises:
        FileError: They outgrow it.
    """
    sizes = [weight.numel() for weight in weights]
    left = {"tensors": NETWORKS * len(sizes) + SPARE, "numbers": NETWORKS * sum(sizes) + SPARE}
    builder = threading.get_ident()

    def count(_: nn.Module, __: str, part: Any) -> None:
        if threading.get_ident() != builder:
            return
        left["tensors"] -= 1
        left["numbers"] -= part.numel() if isinstance(part, Tensor) else 0
        if min(left.values()) < 0:
            raise FileError(f"it describes a larger network than the weights are of: {sum(sizes)}")

    hooks = (
        registration.register_module_parameter_registration_hook(count),
        registration.register_module_buffer_registration_hook(count),
        registration.register_module_module_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check_pickle(archive: ZipFile) -> None:
    """Whether the index of tensors names nothing beyond them: torch's reader would call more."""
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1 or archive.getinfo(names[0]).file_size > MOST_INDEX:
        raise FileError("it holds no tensors, or an index of them that is too large")
    for operation, argument, _ in pickletools.genops(archive.read(names[0])):
        named = str(argument) if operation.name == "GLOBAL" else PLAIN[0]
        if operation.name in _CALLING or not (named in PLAIN or _is_storage(named)):
            raise FileError("it holds more than tensors and plain values")


def _check_storage(found: Any) -> None:
    """Whether every tensor has as many numbers as it says."""
    if isinstance(found, Tensor):
        if found.untyped_storage().nbytes() < found.nbytes:
            raise FileError("it holds a tensor of more numbers than it has")
    elif isinstance(found, Mapping):
        _check_storage(list(found.values()))
    elif isinstance(found, list | tuple):
        for part in found:
            _check_storage(part)


def _is_storage(name: str) -> bool:
    module, _, kind = name.partition(" ")
    return module == "torch" and kind.endswith("Storage") and kind.isalnum()


_CALLING = frozenset(["STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"])
