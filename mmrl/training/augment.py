"""Random variations of training samples: what a shifted, turned or noisy reading shows is the same.

Few samples are soon known by heart, and a contrastive loss then aligns each modality with the very
sample instead of with what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mmrl.data.arrays import ArrayData
from mmrl.modality import Batch, Modality, has_channels_last
from mmrl.nn.standardize import BYTE_MAX, Standardize

MOVES = ("rotate", "shear", "zoom", "shift")
VARIATIONS: dict[str, tuple[str, ...]] = {
    "image": (*MOVES, "gain", "noise"),
    "sound": ("zoom", "shift", "noise"),
    "sequence": ("zoom", "shift", "gain", "noise"),
    "vector": ("gain", "noise"),
    "label": (),
}
"""What each kind of modality can be varied by."""


@dataclass(frozen=True)
class Augmentation:
    """How far the values of one modality vary; anew for each sample of each batch, 0 not at all.

    Images move in their plane, sounds and sequences in time; what leaves at one edge is lost, and
    the values of the other edge are repeated.

    Args:
        rotate: Greatest angle of a rotation, in degrees, in [0, 180].
        shear: Greatest angle of a shear, in degrees, in [0, 90).
        zoom: Greatest share by which sides, or the duration, become longer or shorter, in [0, 1).
        shift: Greatest shift, as a share of the sides or of the duration, in [0, 1).
        gain: Greatest share by which all values of a reading grow or shrink together, in [0, 1).
        noise: Standard deviation of what is added to every value: in units of that feature's
            standard deviation in the training data, for images of their full range.

    Raises:
        ValueError: A value out of range.
    """

    rotate: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"rotate must lie in [0, 180], got {self.rotate}")
        for name, end in {"shear": 90, "zoom": 1, "shift": 1, "gain": 1}.items():
            if not 0 <= getattr(self, name) < end:
                raise ValueError(f"{name} must lie in [0, {end}), got {getattr(self, name)}")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be at least 0 and finite, got {self.noise}")

    @property
    def chosen(self) -> list[str]:
        """Names of the variations that are not 0."""
        return [field.name for field in fields(self) if getattr(self, field.name)]


class Augment:
    """Varies the batches of a training.

    It draws from torch's global generator of the processor, whatever the device.

    Args:
        settings: By the name of the modality; those without an entry stay as they are.
        modalities: Modalities of the data.

    Raises:
        ValueError: A modality that is not there, or a variation that does not fit its kind.

    Example:
        >>> camera = Modality("camera", (3, 32, 32), "image")
        >>> augment = Augment({"camera": Augmentation(rotate=10.0, shift=0.1)}, [camera])
        >>> batch = Batch({"camera": torch.zeros(2, 3, 32, 32)}, torch.ones(2, 1, dtype=torch.bool))
        >>> augment(batch).values["camera"].shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self, settings: Mapping[str, Augmentation], modalities: Sequence[Modality]
    ) -> None:
        names = [m.name for m in modalities]
        if unknown := sorted(set(settings) - set(names)):
            raise ValueError(f"augment names {unknown}; the modalities are {names}")
        self.modalities = [m for m in modalities if m.name in settings]
        for m in self.modalities:
            if wrong := [key for key in settings[m.name].chosen if key not in VARIATIONS[m.kind]]:
                fitting = ", ".join(VARIATIONS[m.kind]) or "nothing"
                raise ValueError(
                    f"augment.{m.name}: {wrong[0]} does not fit a modality of kind {m.kind}, "
                    f"which can be varied by {fitting}"
                )
        self.settings = dict(settings)
        self.scales = {m.name: Standardize(m) for m in self.modalities}

    def measure(self, train: ArrayData) -> None:
        """Takes the units of `noise` from the training data."""
        for m in self.modalities:
            if self.settings[m.name].noise and not self.scales[m.name].is_fixed:
                self.scales[m.name].estimate(train.readings(m.name))

    def __call__(self, batch: Batch) -> Batch:
        """The batch, varied; images become floating, in [0, 1] where they were bytes."""
        values = dict(batch.values)
        for m in self.modalities:
            values[m.name] = self._vary(values[m.name], m)
        return Batch(values, batch.available, batch.target)

    def _vary(self, x: Tensor, modality: Modality) -> Tensor:
        chosen = self.settings[modality.name]
        x = x.float() / BYTE_MAX if x.dtype == torch.uint8 else x.float()
        if any(getattr(chosen, name) for name in MOVES):
            x = _move(x, chosen, modality)
        if chosen.gain:
            x = x * (1 + chosen.gain * _uniform(len(x), *[1] * (x.dim() - 1)).to(x.device))
        if chosen.noise:
            unit = self.scales[modality.name].std.to(x.device)
            x = x + chosen.noise * unit * torch.randn(x.shape).to(x.device)
        return x


def _move(
    x: Float[Tensor, "batch *shape"], chosen: Augmentation, modality: Modality
) -> Float[Tensor, "batch *shape"]:
    """Another affine map of the plane, or of time, for each sample."""
    axis = _channel_axis(modality)
    plane = x.unsqueeze(1) if axis is None else x.movedim(axis, 1)
    plane = plane if plane.dim() == 4 else plane.unsqueeze(3)
    maps = _affine_maps(len(x), chosen, modality.kind == "image", plane.shape[2:])
    grid = F.affine_grid(maps.to(x.device), list(plane.shape), align_corners=False)
    moved = F.grid_sample(plane, grid, padding_mode="border", align_corners=False)
    moved = moved.squeeze(3) if modality.kind == "sequence" else moved
    return moved.squeeze(1) if axis is None else moved.movedim(1, axis)


def _channel_axis(modality: Modality) -> int | None:
    """Where the channels of a batch stand; the first of the other axes is time, or the rows."""
    shape = modality.shape
    if modality.kind == "image":
        return None if len(shape) == 2 else -1 if has_channels_last(shape) else 1
    return -1 if modality.kind == "sequence" else 1


def _affine_maps(
    samples: int, chosen: Augmentation, is_plane: bool, sides: Sequence[int]
) -> Float[Tensor, "samples 2 3"]:
    """From where in the old plane each place of the new one comes; edges lie at -1 and 1."""
    angle = math.radians(chosen.rotate) * _uniform(samples)
    slant = torch.tan(math.radians(chosen.shear) * _uniform(samples))
    shrink = 1 / (1 + chosen.zoom * _uniform(samples))
    # A shift by the whole side is one from edge to edge, of length 2.
    across, down = 2 * chosen.shift * _uniform(2, samples)
    if not is_plane:
        one, nothing = torch.ones(samples), torch.zeros(samples)
        rows = [one, nothing, nothing, nothing, shrink, down]
    else:
        # Angles are those of pixels, whatever the sides.
        ratio = sides[0] / sides[1]
        cosine, sine = shrink * torch.cos(angle), shrink * torch.sin(angle)
        right = [cosine, (cosine * slant - sine) * ratio, across]
        rows = [*right, sine / ratio, sine * slant + cosine, down]
    return torch.stack(rows, dim=1).reshape(samples, 2, 3)


def _uniform(*shape: int) -> Tensor:
    """Uniform over [-1, 1)."""
    return 2 * torch.rand(shape) - 1
