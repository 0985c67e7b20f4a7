"""What a sensor delivers, and the batch record that every method receives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

if TYPE_CHECKING:
    from gymnasium import spaces

KINDS = ("image", "sound", "sequence", "vector", "label")
AVAILABLE = "available"
"""Key of the availability mask in a Dict observation; never the name of a modality."""

MIN_IMAGE_SIDE = 8


@dataclass(frozen=True)
class Modality:
    """One channel of observation.

    Args:
        name: Key of the channel in an observation or a data set.
        shape: Shape of one value, without the batch axis.
        kind: What the values are, one of `KINDS`; it decides the default modality encoder:
            `image` (channels first or last), `sound` (a spectrogram, channels first), `sequence`
            (steps, features), `vector` (flattened), `label` (one-hot or class probabilities).
        shared_scale: Whether all its numbers are of one unit, such as positions of joints, and keep
            their proportions: as inputs of networks they have one standard deviation in common.
            Each with its own, the joints that hardly move would be as large as a waving hand.

    Raises:
        ValueError: Unknown kind, a reserved name, or a shape with an empty axis.

    Example:
        >>> Modality("image", (2, 60, 60), "image").size
        7200
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    shared_scale: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"modality {self.name!r} has kind {self.kind!r}; known kinds: {', '.join(KINDS)}"
            )
        if self.name == AVAILABLE:
            raise ValueError(f"{AVAILABLE!r} is the key of the mask and cannot name a modality")
        # Networks are kept by name, subsets and files are called by names.
        if not self.name or set(self.name) & set("./+") or hasattr(nn.ModuleDict(), self.name):
            raise ValueError(
                f"{self.name!r} cannot name a modality: take another word, without '.', '/' and '+'"
            )
        if not self.shape or any(n < 1 for n in self.shape):
            raise ValueError(f"modality {self.name!r} needs a shape of positive axes: {self.shape}")

    @property
    def size(self) -> int:
        """Number of values in one observation of this modality."""
        return prod(self.shape)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Modality:
        """What `dataclasses.asdict` made plain data of.

        Raises:
            KeyError: A part is missing.
            ValueError: A part is of another type, or see `Modality`.
        """
        name, shape, kind = plain["name"], plain["shape"], plain["kind"]
        axes = isinstance(shape, list | tuple) and all(type(axis) is int for axis in shape)
        if not (isinstance(name, str) and isinstance(kind, str) and axes):
            raise ValueError(f"a modality has a name, a shape and a kind, got {dict(plain)}")
        return cls(name, tuple(shape), kind, bool(plain.get("shared_scale", False)))

    @classmethod
    def from_space(
        cls,
        space: spaces.Space[Any],
        kinds: Mapping[str, str] | None = None,
        shared_scale: Collection[str] = (),
    ) -> tuple[Modality, ...]:
        """Reads the modalities of a Gymnasium Dict space, in the order of its keys.

        A `uint8` Box of two or three axes whose two larger sides are at least 8 is an image; every
        other Box or MultiBinary is a vector, unless `kinds` says otherwise.

        Args:
            space: The observation space; the key `available` is skipped.
            kinds: Kind by modality name, for those that the rule gets wrong.
            shared_scale: Names of those whose numbers are all of one unit.

        Raises:
            TypeError: The space is no Dict, or a channel is neither Box nor MultiBinary.
            ValueError: `kinds` or `shared_scale` names a channel that does not exist, or there is
                no channel.

        Example:
            >>> from gymnasium import spaces
            >>> box = spaces.Box(0, 255, (2, 60, 60), np.uint8)
            >>> Modality.from_space(spaces.Dict({"camera": box}))
            (Modality(name='camera', shape=(2, 60, 60), kind='image', shared_scale=False),)
        """
        from gymnasium import spaces

        if not isinstance(space, spaces.Dict):
            raise TypeError(
                f"expected a Dict observation space with one entry per sensor, got {space}; "
                "a flat Box can be split into named channels with a wrapper"
            )
        kinds = dict(kinds or {})
        names = [name for name in space.spaces if name != AVAILABLE]
        for setting, named in {"kinds": kinds, "shared_scale": shared_scale}.items():
            if unknown := sorted(set(named) - set(names)):
                raise ValueError(f"{setting} names {unknown}, but the channels are {names}")
        if not names:
            raise ValueError(f"the Dict space has no sensor channel: {space}")
        return tuple(
            cls(n, *_shape_and_kind(n, space.spaces[n], kinds.get(n)), n in shared_scale)
            for n in names
        )


def _shape_and_kind(
    name: str, space: spaces.Space[Any], kind: str | None
) -> tuple[tuple[int, ...], str]:
    from gymnasium import spaces

    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        raise TypeError(
            f"channel {name!r} is a {type(space).__name__} space; a sensor must be a Box or "
            "MultiBinary (flatten nested Dicts, one-hot encode Discrete values)"
        )
    shape = tuple(int(n) for n in space.shape) or (1,)
    if kind is None:
        sides = sorted(shape)[-2:]
        is_image = space.dtype == np.uint8 and 2 <= len(shape) <= 3 and sides[0] >= MIN_IMAGE_SIDE
        kind = "image" if is_image else "vector"
    return shape, kind


def has_channels_last(shape: Sequence[int]) -> bool:
    """Whether the channels of an image of three axes are its last one: the smaller outer one is."""
    return shape[2] < shape[0]


@dataclass
class Batch:
    """Values of several modalities for the same samples.

    Attributes:
        values: Tensor of shape (batch, *modality.shape) by modality name, in raw units: `uint8`
            images in 0..255, everything else floating. Values of unavailable modalities are
            arbitrary and never influence a result.
        available: Which modality is available in which sample, (batch, modalities), in the order
            of the modalities.
        target: Class indices (batch,), labels (batch, labels), 0 or 1, or regression targets
            (batch, outputs), if there are any.
    """

    values: dict[str, Tensor]
    available: Bool[Tensor, "batch modalities"]
    target: Tensor | None = None

    def __len__(self) -> int:
        return int(self.available.shape[0])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        target = None if self.target is None else self.target.to(device)
        values = {name: value.to(device) for name, value in self.values.items()}
        return Batch(values, self.available.to(device), target)


def mark_missing(
    values: Mapping[str, Tensor | None],
    available: Bool[Tensor, "batch modalities"] | None,
    modalities: Sequence[Modality],
) -> tuple[dict[str, Tensor], Bool[Tensor, "batch modalities"]]:
    """Completes the mask and makes the values of missing modalities harmless.

    A modality is missing in a sample where the mask says so, where its key is absent or None, or
    where any of its values is NaN or infinite. Missing values become zeros.

    Args:
        values: Raw values by modality name, (batch, *shape) each.
        available: The mask; None means all that is given is available.
        modalities: What is expected, in the order of the mask's columns.

    Returns:
        Clean values of every modality, and the completed mask.

    Raises:
        ValueError: An unknown modality, a wrong shape, no values at all, or a mask that does not
            fit.
    """
    given = {name: value for name, value in values.items() if value is not None}
    batch, device = _check_values(given, modalities)
    if available is None:
        available = torch.ones(batch, len(modalities), dtype=torch.bool, device=device)
    elif available.shape != (batch, len(modalities)):
        raise ValueError(
            f"available has shape {tuple(available.shape)}, expected "
            f"{(batch, len(modalities))}: one row per sample, one column per modality"
        )
    clean: dict[str, Tensor] = {}
    columns = []
    for i, modality in enumerate(modalities):
        column = available[:, i]
        value = given.get(modality.name)
        if value is None:
            columns.append(torch.zeros_like(column))
            clean[modality.name] = torch.zeros(batch, *modality.shape, device=device)
            continue
        if value.is_floating_point():
            column = column & torch.isfinite(value.flatten(1)).all(1)
        mask = column.view(-1, *[1] * len(modality.shape))
        clean[modality.name] = torch.where(mask, value, torch.zeros_like(value))
        columns.append(column)
    return clean, torch.stack(columns, dim=1)


def _check_values(
    given: Mapping[str, Tensor], modalities: Sequence[Modality]
) -> tuple[int, torch.device]:
    shapes = {modality.name: modality.shape for modality in modalities}
    if unknown := sorted(set(given) - set(shapes)):
        raise ValueError(f"unknown modalities {unknown}; known: {sorted(shapes)}")
    if not given:
        raise ValueError(f"no values at all; give at least one of {sorted(shapes)}")
    for name, value in given.items():
        if tuple(value.shape[1:]) != shapes[name]:
            raise ValueError(
                f"modality {name!r} has values of shape {tuple(value.shape)}, expected "
                f"(batch, {', '.join(map(str, shapes[name]))})"
            )
    sizes = {name: len(value) for name, value in given.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"modalities differ in batch size: {sizes}")
    first = next(iter(given.values()))
    return len(first), first.device
