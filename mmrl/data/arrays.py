"""Samples of several modalities in memory, in their smallest type, converted batch by batch."""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmrl.data.npz import read_npz
from mmrl.data.sequences import Sequences
from mmrl.files import FileError, brief, write_atomically
from mmrl.modality import NO_READING, Batch, Modality, measured, with_gaps

CHUNK = 1024
"""Samples whose readings are handed out at a time."""
FLOATS = (np.float32, np.float64)
EXACT = 2**24
"""Up to here, float32 has every whole number."""
ROUNDING = 1e-3
"""Share of a feature's standard deviation that rounding to float32 may take."""


class BitImages:
    """Two-valued byte images, one bit per pixel.

    Args:
        images: `uint8` array (samples, *shape) whose values are 0 and 255 only.

    Example:
        >>> images = np.array([[[0, 255, 255]], [[255, 0, 0]]], np.uint8)
        >>> BitImages.pack(images)[np.array([1])].tolist()
        [[[255, 0, 0]]]
    """

    def __init__(self, bits: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
        self.bits = bits
        self.shape = (len(bits), *shape)
        self.dtype = np.dtype(np.uint8)

    @classmethod
    def pack(cls, images: NDArray[np.uint8]) -> BitImages:
        """Packs images of which `is_two_valued` holds."""
        flat = images.reshape(len(images), int(np.prod(images.shape[1:])))
        return cls(np.packbits(flat > 0, axis=1), images.shape[1:])

    def take(self, rows: NDArray[np.intp]) -> BitImages:
        """Some of the images, still packed."""
        return BitImages(self.bits[rows], self.shape[1:])

    @property
    def nbytes(self) -> int:
        """Memory that the pixels take."""
        return self.bits.nbytes

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> NDArray[np.uint8]:
        size = int(np.prod(self.shape[1:]))
        pixels = np.unpackbits(self.bits[rows], axis=1, count=size)
        np.multiply(pixels, 255, out=pixels)
        return pixels.reshape(-1, *self.shape[1:])


Column = NDArray[Any] | BitImages | Sequences


def is_two_valued(values: NDArray[Any]) -> bool:
    """Whether all values are bytes, 0 or 255."""
    # Bytes wrap: 0 and 255 alone become 1 and 0.
    return values.dtype == np.uint8 and not bool((values + np.uint8(1) > 1).any())


class ArrayData:
    """Samples of several modalities.

    Args:
        values: Array (samples, *modality.shape) by modality name: `uint8` images in 0..255,
            any numbers otherwise, in their smallest type (batches are floating). Sequences of
            different lengths come as `Sequences`, two-valued images may as `BitImages`.
        modalities: What the arrays are, in the order of the mask's columns.
        available: Mask (samples, modalities); by default everything is there. A modality is missing
            in a sample also where its numbers are (NaN, inf, out of its limits): all of them, or
            any, as its `partial` has it; so is an empty sequence.
        target: Class indices (samples,), labels (samples, labels), boolean, or regression targets
            (samples, outputs).

    Raises:
        ValueError: Modalities or shapes that do not fit each other.
    """

    def __init__(
        self,
        values: Mapping[str, Column],
        modalities: Sequence[Modality],
        available: NDArray[np.bool_] | None = None,
        target: NDArray[Any] | None = None,
    ) -> None:
        self.modalities = tuple(modalities)
        _check_columns(values, self.modalities)
        samples = len(next(iter(values.values())))
        if available is None:
            available = np.ones((samples, len(self.modalities)), bool)
        if available.shape != (samples, len(self.modalities)):
            raise ValueError(
                f"available has shape {available.shape}, expected "
                f"{(samples, len(self.modalities))}: samples x modalities"
            )
        if target is not None and len(target) != samples:
            raise ValueError(f"{samples} samples have {len(target)} targets")
        self.values = {m.name: _smallest(values[m.name]) for m in self.modalities}
        self.available = available & np.stack([self._there(m) for m in self.modalities], axis=1)
        self.target = target

    def _there(self, modality: Modality) -> NDArray[np.bool_]:
        """In which samples a modality is there, as far as its values tell."""
        column = self.values[modality.name]
        if isinstance(column, BitImages):
            return np.ones(len(column), bool)
        values = column.values if isinstance(column, Sequences) else column
        some = np.ones(len(values), bool)
        every = np.ones(len(values), bool)
        for start in range(0, len(values), CHUNK):
            part = torch.from_numpy(np.array(values[start : start + CHUNK]))
            if (found := measured(part, modality)) is not None:
                rows = found.reshape(len(part), -1).numpy()
                some[start : start + CHUNK], every[start : start + CHUNK] = rows.any(1), rows.all(1)
        if not isinstance(column, Sequences):
            return every if modality.partial == "missing" else some
        if modality.partial == "missing":
            return (column.lengths > 0) & ~column.samples_with(~every)
        return column.samples_with(some)

    def __len__(self) -> int:
        return len(self.available)

    @property
    def nbytes(self) -> int:
        """Memory that the values take."""
        return sum(column.nbytes for column in self.values.values())

    def batch(self, rows: NDArray[np.intp]) -> Batch:
        """The samples at `rows` as tensors."""
        values = {
            m.name: torch.from_numpy(_raw(self.values[m.name][rows], m.kind))
            for m in self.modalities
        }
        target = None if self.target is None else torch.from_numpy(_wide(self.target[rows]))
        return Batch(values, torch.from_numpy(self.available[rows]), target)

    def readings(self, name: str) -> Iterator[Tensor]:
        """All values of a modality where it is there, some at a time.

        Args:
            name: Name of the modality.

        Yields:
            (some samples, *shape), NaN where there is no measurement; of sequences of different
            lengths the steps without padding, (steps of some samples, *shape[1:]).
        """
        modality = self._modality(name)
        for part in self._chunks(name):
            there = measured(part, modality)
            yield part if there is None else with_gaps(part, there)

    def _modality(self, name: str) -> Modality:
        return next(m for m in self.modalities if m.name == name)

    def _chunks(self, name: str) -> Iterator[Tensor]:
        column = self.values[name]
        place = [m.name for m in self.modalities].index(name)
        rows = np.flatnonzero(self.available[:, place])
        for start in range(0, len(rows), CHUNK):
            chosen = rows[start : start + CHUNK]
            yield torch.from_numpy(
                column.steps_of(chosen) if isinstance(column, Sequences) else column[chosen]
            )

    def subset(self, rows: NDArray[np.intp]) -> ArrayData:
        """A data set of the samples at `rows`."""
        values: dict[str, Column] = {
            name: column[rows] if isinstance(column, np.ndarray) else column.take(rows)
            for name, column in self.values.items()
        }
        target = None if self.target is None else self.target[rows]
        return self._with(values=values, available=self.available[rows], target=target)

    def masked(self, mask: NDArray[np.bool_]) -> ArrayData:
        """The same samples with less available: only what is true in the mask as well."""
        return self._with(available=self.available & mask)

    def seen_as(self, modalities: Sequence[Modality]) -> ArrayData:
        """The same samples, of modalities with the same names and shapes but maybe other kinds."""
        return self._with(modalities=tuple(modalities))

    def packed(self) -> ArrayData:
        """The same samples, two-valued images with one bit per pixel."""
        values = {
            name: BitImages.pack(column)
            if isinstance(column, np.ndarray) and is_two_valued(column)
            else column
            for name, column in self.values.items()
        }
        return self._with(values=values)

    def _with(self, **changed: Any) -> ArrayData:
        """A copy, which needs no checks again."""
        made = copy.copy(self)
        vars(made).update(changed)
        return made

    @staticmethod
    def concatenate(parts: Sequence[ArrayData]) -> ArrayData:
        """One data set of the samples of several, which must have the same modalities.

        Raises:
            ValueError: They have not, or there is none.
        """
        if not parts or any(part.modalities != parts[0].modalities for part in parts):
            raise ValueError("expected at least one data set, all of the same modalities")
        names = parts[0].values
        values = {name: _concatenate([part.values[name] for part in parts]) for name in names}
        targets = [part.target for part in parts if part.target is not None]
        target = np.concatenate(targets) if len(targets) == len(parts) else None
        available = np.concatenate([part.available for part in parts])
        return parts[0]._with(values=values, available=available, target=target)

    def save(self, path: Path | str) -> None:
        """Writes one compressed npz, atomically."""
        arrays: dict[str, NDArray[Any]] = {"available": self.available}
        for name, column in self.values.items():
            match column:
                case BitImages():
                    arrays[f"bits/{name}"] = column.bits
                case Sequences():
                    arrays[f"values/{name}"] = column.values
                    arrays[f"offsets/{name}"] = column.offsets
                case _:
                    arrays[f"values/{name}"] = column
        if self.target is not None:
            arrays["target"] = self.target
        description = json.dumps([asdict(m) for m in self.modalities])
        arrays["modalities"] = np.frombuffer(description.encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_atomically(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> ArrayData:
        """Reads what `save` wrote.

        Raises:
            FileError: The file is damaged or something else.
            FileNotFoundError: There is none.
        """
        try:
            arrays = read_npz(path)
            described = json.loads(arrays.pop("modalities").tobytes())
            modalities = [Modality.from_plain(m) for m in described]
            values = {m.name: _stored(arrays, m) for m in modalities}
            available = arrays["available"].astype(np.bool_, casting="no")
            return cls(values, modalities, available, arrays.get("target"))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            where = "" if str(path) in str(error) else f"{path} is damaged: "
            raise FileError(f"{where}{brief(error)}") from error


def _stored(arrays: Mapping[str, NDArray[Any]], modality: Modality) -> Column:
    name = modality.name
    if (bits := arrays.get(f"bits/{name}")) is not None:
        if bits.dtype != np.uint8 or bits.shape[1:] != (-(-modality.size // 8),):
            raise ValueError(f"{bits.shape} bits of type {bits.dtype} are no images {modality}")
        return BitImages(bits, modality.shape)
    if f"offsets/{name}" in arrays:
        return Sequences(arrays[f"values/{name}"], arrays[f"offsets/{name}"], modality.shape[0])
    return arrays[f"values/{name}"]


def _raw(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """Bytes stay bytes in images only: elsewhere they are numbers, not brightness."""
    if values.dtype in FLOATS or (kind == "image" and values.dtype == np.uint8):
        return values
    return values.astype(np.float32)


def _wide(target: NDArray[Any]) -> NDArray[Any]:
    """Class indices and labels in the types that losses take."""
    if target.dtype.kind == "f":
        return target
    return target.astype(np.float32 if target.dtype.kind == "b" else np.int64)


def _concatenate(columns: Sequence[Column]) -> Column:
    bits = [column.bits for column in columns if isinstance(column, BitImages)]
    if len(bits) == len(columns):
        return BitImages(np.concatenate(bits), tuple(columns[0].shape[1:]))
    sequences = [column for column in columns if isinstance(column, Sequences)]
    if len(sequences) == len(columns):
        return Sequences.concatenate(sequences)
    return np.concatenate([column[:] for column in columns])


def _smallest(column: Column) -> Column:
    if isinstance(column, Sequences):
        return Sequences(_compact(column.values), column.offsets, column.steps)
    if isinstance(column, np.ndarray):
        return _compact(column)
    return column


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers in float32 where that loses nothing that varies; map coordinates stay float64."""
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "iu" and values.size:
        exact = values.dtype.itemsize < 4 or np.abs(values.astype(np.float64)).max() <= EXACT
        values = values if exact else values.astype(np.float64)
    if values.dtype.kind != "f" or values.dtype.itemsize < 8 or not len(values):
        return values
    with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that are never there
        small = values.astype(np.float32)
        wide = np.where(np.abs(values) < NO_READING, values, np.nan)
        lost = np.nanmax(np.abs(wide - small), axis=0)
        varies = np.nanstd(wide, axis=0)
    kept = bool((lost > ROUNDING * varies).any())
    return values.astype(np.float64, copy=False) if kept else small


def _check_columns(values: Mapping[str, Column], modalities: Sequence[Modality]) -> None:
    names = [m.name for m in modalities]
    if set(values) != set(names) or not names:
        raise ValueError(f"values are given for {sorted(values)}, the modalities are {names}")
    for modality in modalities:
        shape = values[modality.name].shape
        if tuple(shape[1:]) != modality.shape:
            raise ValueError(
                f"modality {modality.name!r} has values of shape {shape}, expected (samples, "
                f"{', '.join(map(str, modality.shape))})"
            )
    if len({len(column) for column in values.values()}) > 1:
        raise ValueError(
            f"modalities differ in samples: { {k: len(v) for k, v in values.items()} }"
        )
