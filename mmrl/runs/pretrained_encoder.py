"""The encoder of another run, of control or of classification."""

from __future__ import annotations

from collections.abc import Sequence

from mmrl import checkpoint
from mmrl.checkpoint import CheckpointError
from mmrl.methods import Method
from mmrl.modality import Modality
from mmrl.settings import ConfigError


def pretrained_encoder(path: str, modalities: Sequence[Modality] | None = None) -> Method:
    """Loads the encoder of a run folder; of a classifier on a representation, the representation.

    Args:
        path: The folder.
        modalities: What it is to encode: the same names and shapes, in the same order; None trusts
            that this was checked.

    Raises:
        ConfigError: There is none, or it was trained on other modalities, which are named.
    """
    try:
        encoder = checkpoint.load(path).representation
    except CheckpointError as error:
        raise ConfigError(f"encoder: {error}") from error
    if modalities is not None:
        _check_fits(encoder, modalities, path)
    return encoder


def _check_fits(encoder: Method, modalities: Sequence[Modality], path: str) -> None:
    known = {m.name: m.shape for m in encoder.modalities}
    given = {m.name: m.shape for m in modalities}
    problems = [f"there is no {name!r}" for name in known if name not in given]
    problems += [f"{name!r} is unknown to it" for name in given if name not in known]
    problems += [
        f"{name!r} has the shape {given[name]} instead of {shape}"
        for name, shape in known.items()
        if name in given and given[name] != shape
    ]
    if not problems and list(known) != list(given):
        problems = [f"they come in the order {list(given)} instead of {list(known)}"]
    if problems:
        raise ConfigError(
            f"encoder: {path} encodes {known}, which these modalities do not fit: "
            f"{'; '.join(problems)}"
        )
