"""What a sensor delivers, and the batch record that every method receives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
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
NO_READING = 1e30
"""Numbers beyond are no measurements: drivers write the largest float for "no reading"."""
LIMITS_SLACK = 1e-3
"""Share of its range by which a reading may lie outside of a sensor's limits."""

PARTIAL = ("missing", "fill", "indicate")


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
        partial: What a reading is of which some numbers are missing (NaN, infinite, beyond
            `NO_READING` or out of `limits`): `missing` altogether; `fill`: the others count, and
            these are their mean over the training data; `indicate`: the same, and networks see
            beside each number whether it was there. None: `fill`, for a label `missing`. A reading
            that has no number at all is always missing.
        limits: Least and greatest number that the sensor can deliver; others are missing.

    Raises:
        ValueError: Unknown kind or choice, a reserved name, a shape with an empty axis, or limits
            that are none.

    Example:
        >>> Modality("image", (2, 60, 60), "image").size
        7200
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    shared_scale: bool = False
    partial: str | None = None
    limits: tuple[float, float] | None = None

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
                f"{self.name!r} cannot name a modality: take another word, without '.', '/' and "
                "'+' (in an environment by {name: rename} in env.wrappers)"
            )
        if not self.shape or any(n < 1 for n in self.shape):
            raise ValueError(f"modality {self.name!r} needs a shape of positive axes: {self.shape}")
        if self.partial is None:
            object.__setattr__(self, "partial", "missing" if self.kind == "label" else "fill")
        if self.partial not in PARTIAL or (self.partial == "indicate" and self.kind == "label"):
            known = PARTIAL[:2] if self.kind == "label" else PARTIAL
            raise ValueError(
                f"modality {self.name!r}: partial is {self.partial!r}; a {self.kind} can have "
                f"{', '.join(known)}"
            )
        if self.limits is not None and not -inf < self.limits[0] < self.limits[1] < inf:
            raise ValueError(
                f"modality {self.name!r}: limits must be finite and rise: {self.limits}"
            )

    @property
    def size(self) -> int:
        """Number of values in one observation of this modality."""
        return prod(self.shape)

    @property
    def channel_axis(self) -> int | None:
        """Where the channels stand in `shape`; None for an image without such an axis."""
        if self.kind == "image":
            return None if len(self.shape) == 2 else -1 if has_channels_last(self.shape) else 0
        return -1 if self.kind == "sequence" else 0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what networks see of one value: twice the channels with `indicate`."""
        if self.partial != "indicate":
            return self.shape
        if self.channel_axis is None:
            return (2, *self.shape)
        shape = list(self.shape)
        shape[self.channel_axis] *= 2
        return tuple(shape)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Modality:
        """What `dataclasses.asdict` made plain data of.

        Raises:
            KeyError: A part is missing.
            ValueError: A part is of another type, or see `Modality`.
        """
        name, shape, kind = plain["name"], plain["shape"], plain["kind"]
        # Releases that had no such setting took a reading without all its numbers for missing.
        partial, limits = plain.get("partial", "missing"), plain.get("limits")
        axes = isinstance(shape, list | tuple) and all(type(axis) is int for axis in shape)
        ends = limits is None or (
            isinstance(limits, list | tuple)
            and len(limits) == 2
            and all(isinstance(end, int | float) for end in limits)
        )
        words = all(isinstance(word, str) for word in (name, kind, partial))
        if not (words and axes and ends):
            raise ValueError(f"a modality has a name, a shape and a kind, got {dict(plain)}")
        bounds = None if limits is None else (float(limits[0]), float(limits[1]))
        return cls(
            name, tuple(shape), kind, bool(plain.get("shared_scale", False)), partial, bounds
        )

    @classmethod
    def from_space(
        cls,
        space: spaces.Space[Any],
        kinds: Mapping[str, str] | None = None,
        shared_scale: Collection[str] = (),
        partial: Mapping[str, str] | None = None,
    ) -> tuple[Modality, ...]:
        """Reads the modalities of a Gymnasium Dict space, in the order of its keys.

        A `uint8` Box of two or three axes whose two larger sides are at least 8 is an image; every
        other Box or MultiBinary is a vector, unless `kinds` says otherwise. Bounds of a Box, where
        all are finite, are the sensor's limits.

        Args:
            space: The observation space; the key `available` is skipped.
            kinds: Kind by modality name, for those that the rule gets wrong.
            shared_scale: Names of those whose numbers are all of one unit.
            partial: What a reading without some of its numbers is, by modality name, where it is
                not the default of its kind (see `Modality`).

        Raises:
            TypeError: The space is no Dict, or a channel is neither Box nor MultiBinary.
            ValueError: `kinds`, `shared_scale` or `partial` names a channel that does not exist, or
                there is no channel.

        Example:
            >>> from gymnasium import spaces
            >>> box = spaces.Box(0, 255, (2, 60, 60), np.uint8)
            >>> Modality.from_space(spaces.Dict({"camera": box}))[0].kind
            'image'
        """
        from gymnasium import spaces

        if not isinstance(space, spaces.Dict):
            raise TypeError(
                f"expected a Dict observation space with one entry per sensor, got {space}; in "
                "env.wrappers, {name: split, slices: {arm: [0, 7], hand: [7, 9]}} names the parts "
                "of a flat Box, {name: flatten} those of a Tuple, {name: one_hot} a Discrete number"
            )
        kinds, partial = dict(kinds or {}), dict(partial or {})
        names = [name for name in space.spaces if name != AVAILABLE]
        settings = {"kinds": kinds, "shared_scale": shared_scale, "partial": partial}
        for setting, named in settings.items():
            if unknown := sorted(set(named) - set(names)):
                raise ValueError(f"{setting} names {unknown}, but the channels are {names}")
        if not names:
            raise ValueError(f"the Dict space has no sensor channel: {space}")
        return tuple(
            cls(
                n,
                *_shape_and_kind(n, space.spaces[n], kinds.get(n)),
                n in shared_scale,
                partial.get(n),
                _limits(space.spaces[n]),
            )
            for n in names
        )


def _shape_and_kind(
    name: str, space: spaces.Space[Any], kind: str | None
) -> tuple[tuple[int, ...], str]:
    from gymnasium import spaces

    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        raise TypeError(
            f"channel {name!r} is a {type(space).__name__} space; a sensor must be a Box or "
            "MultiBinary: in env.wrappers, {name: flatten} opens nested Dicts and Tuples, "
            "{name: one_hot} makes vectors of Discrete and MultiDiscrete, {name: drop, channels: "
            f"[{name}]}} leaves it out"
        )
    shape = tuple(int(n) for n in space.shape) or (1,)
    if kind is None:
        sides = sorted(shape)[-2:]
        is_image = space.dtype == np.uint8 and 2 <= len(shape) <= 3 and sides[0] >= MIN_IMAGE_SIDE
        kind = "image" if is_image else "vector"
    return shape, kind


def _limits(space: spaces.Space[Any]) -> tuple[float, float] | None:
    """What a Box says; the bounds of a byte are those of its type, and say nothing."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Box) or space.dtype == np.uint8:
        return None
    low, high = float(space.low.min()), float(space.high.max())
    return (low, high) if -NO_READING < low < high < NO_READING else None


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
    where its numbers are missing: all of them, or any, as its `partial` has it. Missing values
    become zeros; missing numbers of a modality that is there become NaN, which
    `mmrl.nn.standardize.Standardize` fills.

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
    columns = []
    for i, modality in enumerate(modalities):
        column = available[:, i]
        value = given.get(modality.name)
        if value is None:
            given[modality.name] = torch.zeros(batch, *modality.shape, device=device)
            column = torch.zeros_like(column)
        elif (there := measured(value, modality)) is not None:
            flat = there.flatten(1)
            column = column & (flat.all(1) if modality.partial == "missing" else flat.any(1))
            given[modality.name] = with_gaps(value, there)
        columns.append(column)
    mask = torch.stack(columns, dim=1)
    return zero_missing({m.name: given[m.name] for m in modalities}, mask), mask


def zero_missing(
    values: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
) -> dict[str, Tensor]:
    """Zeros in place of what a mask says is missing.

    Args:
        values: Values by modality, in the order of the mask's columns.
        available: The mask.
    """
    zeroed = {}
    for column, (name, value) in zip(available.unbind(dim=1), values.items(), strict=True):
        mask = column.view(-1, *[1] * (value.dim() - 1))
        zeroed[name] = torch.where(mask, value, torch.zeros_like(value))
    return zeroed


def measured(value: Tensor, modality: Modality) -> Tensor | None:
    """Which numbers of readings are measurements: finite, below `NO_READING`, within the limits.

    Args:
        value: Raw values (batch, ...).
        modality: Whose.

    Returns:
        A mask of the same shape; None where nothing but measurements can be.
    """
    bounded = modality.limits is not None and value.dtype not in (torch.bool, torch.uint8)
    if not (value.is_floating_point() or bounded):
        return None
    # In half precision, NO_READING itself would be infinite; not all integers can be compared.
    number = value if value.dtype in (torch.float32, torch.float64) else value.float()
    there = number.abs() < NO_READING
    if modality.limits is not None:
        low, high = modality.limits
        # Rounding, and bounds that were rounded, are no fault of the sensor.
        slack = LIMITS_SLACK * (high - low)
        there = there & (number >= low - slack) & (number <= high + slack)
    return there


def with_gaps(value: Tensor, there: Tensor) -> Tensor:
    """Values with NaN where there is no measurement, in a floating type that holds the others."""
    value = value if value.is_floating_point() else value.double()
    return torch.where(there, value, torch.nan)


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
