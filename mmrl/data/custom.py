"""Bring your own data: one npz file, or a folder of npy files, of a simple layout.

The layout stands in docs/data.md; `python -m mmrl.data check FILE` says what it sees in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData, Column
from mmrl.data.dataset import (
    SPLITS,
    DataError,
    DataSet,
    check_same_task,
    check_target,
    count_outputs,
)
from mmrl.data.npz import read_npy, read_npz
from mmrl.data.sequences import Sequences
from mmrl.data.splits import split_train
from mmrl.modality import AVAILABLE, MIN_IMAGE_SIDE, Modality

TARGET = "target"
VALID_SHARE = 0.1
PRESENT = "present"
WORDS = ("kinds", "partial")
Arrays = dict[str, NDArray[Any]]

LAYOUT = (
    "expected arrays <split>/<modality> and <split>/target, with the splits train, test and "
    "optionally valid; sequences of different lengths are <split>/<modality>/values and "
    "<split>/<modality>/offsets"
)


def load_file(
    path: Path | str,
    *,
    kinds: Mapping[str, str] | None = None,
    steps: Mapping[str, int] | None = None,
    resample: bool = False,
    shared_scale: Sequence[str] = (),
    partial: Mapping[str, str] | None = None,
    valid_share: float = VALID_SHARE,
    seed: int = 0,
) -> DataSet:
    """Loads a data set of one's own.

    Args:
        path: An npz file, or a folder of npy files.
        kinds: Kind by modality, for what the file does not say and its shape does not show.
        steps: Length by modality to which sequences of different lengths are cut or padded; by
            default that of the longest in training.
        resample: Whether sequences are stretched to these steps instead, by linear interpolation:
            for clips of one action each, where the course matters and not the duration.
        shared_scale: Modalities whose numbers are all of one unit (see `Modality`), beside those
            that the file names.
        partial: What a reading without some of its numbers is, by modality: `missing`, `fill` or
            `indicate` (see `Modality`).
        valid_share: Share of the training samples that becomes the validation split where the file
            has none, stratified by class or label.
        seed: Seed of the validation split.

    Raises:
        DataError: Nothing there, a damaged file, another layout, or parts that do not fit.
    """
    path = Path(path)
    return from_arrays(
        read_arrays(path),
        name=path.stem,
        kinds=kinds,
        steps=steps,
        resample=resample,
        shared_scale=shared_scale,
        partial=partial,
        valid_share=valid_share,
        seed=seed,
    )


def from_arrays(
    arrays: Mapping[str, NDArray[Any]],
    *,
    name: str = "arrays",
    kinds: Mapping[str, str] | None = None,
    steps: Mapping[str, int] | None = None,
    resample: bool = False,
    shared_scale: Sequence[str] = (),
    partial: Mapping[str, str] | None = None,
    valid_share: float = VALID_SHARE,
    seed: int = 0,
) -> DataSet:
    """Makes a data set of arrays in memory, named as they would be in a file.

    Args:
        arrays: Arrays named `train/<modality>`, `train/target`, the same for `test` and perhaps
            `valid`. NaN or inf in a modality of a sample means that it is missing there.
        name: Name of the set in tables.
        kinds: Kind by modality, as in `load_file`.
        steps: Length by modality of sequences of different lengths.
        resample: Whether sequences are stretched to these steps.
        shared_scale: Modalities whose numbers are all of one unit.
        partial: What a reading without some of its numbers is, by modality.
        valid_share: Share of the training samples that becomes the validation split where there
            is none.
        seed: Seed of the validation split.

    Raises:
        DataError: Another layout, or parts that do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> data = from_arrays(
        ...     {
        ...         "train/camera": rng.integers(0, 256, (80, 3, 16, 16), dtype=np.uint8),
        ...         "train/force": rng.normal(size=(80, 6)),
        ...         "train/target": rng.integers(0, 4, 80),
        ...         "test/camera": rng.integers(0, 256, (20, 3, 16, 16), dtype=np.uint8),
        ...         "test/force": rng.normal(size=(20, 6)),
        ...         "test/target": rng.integers(0, 4, 20),
        ...     }
        ... )
        >>> [(m.name, m.kind) for m in data.modalities], data.task, data.outputs
        ([('camera', 'image'), ('force', 'vector')], 'classes', 4)
    """
    raw = parse(dict(arrays), kinds or {}, steps or {}, resample, shared_scale, partial or {})
    splits = dict(raw.splits)
    if "valid" not in splits:
        splits["train"], splits["valid"] = split_train(splits["train"], valid_share, seed)
    return DataSet(
        name, splits["train"], splits["valid"], splits["test"], target_names=raw.target_names
    )


def read_arrays(path: Path) -> Arrays:
    """All arrays of an npz file or of a folder of npy files, by name (`train/image`).

    Raises:
        DataError: Nothing there, no arrays in it, or a damaged file.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.npy"))
        if not files:
            raise DataError(f"{path} holds no npy file; {LAYOUT}")
        return {f.relative_to(path).with_suffix("").as_posix(): _read_npy(f) for f in files}
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; {LAYOUT}")
    try:
        return read_npz(path)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        return read_npy(path)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


@dataclass
class Parsed:
    """What a file holds, before a validation split is cut."""

    splits: dict[str, ArrayData]
    target_names: tuple[str, ...]
    unknown: list[str] = field(default_factory=list)


def parse(
    arrays: Arrays,
    kinds: Mapping[str, str] | None = None,
    steps: Mapping[str, int] | None = None,
    resample: bool = False,
    shared_scale: Sequence[str] = (),
    partial: Mapping[str, str] | None = None,
) -> Parsed:
    """Makes splits of the arrays of a file, without cutting a validation split.

    Raises:
        DataError: Another layout, or parts that do not fit each other.
    """
    said = _Said(
        _texts(arrays, "kinds") | dict(kinds or {}),
        dict(steps or {}),
        {*map(str, np.atleast_1d(arrays.get("shared_scale", []))), *shared_scale},
        _texts(arrays, "partial") | dict(partial or {}),
    )
    columns = {split: _columns(arrays, split) for split in SPLITS}
    if not columns["train"] or not columns["test"]:
        raise DataError(f"the splits train and test are needed; {LAYOUT}; found {_some(arrays)}")
    names = _names(arrays, columns["train"])
    if unknown := sorted(said.names() - set(names)):
        raise DataError(
            f"kinds, steps, shared_scale or partial are given for {unknown}; the modalities are "
            f"{names}"
        )
    modalities = _modalities(columns["train"], names, said)
    if resample:
        columns = {s: _resampled(c, modalities) for s, c in columns.items()}
    splits = {s: _split(arrays, s, c, modalities) for s, c in columns.items() if c}
    targets = {split: data.target for split, data in splits.items()}
    for split, target in targets.items():
        assert target is not None
        assert targets["train"] is not None
        check_same_task("", split, target, targets["train"])
    outputs = max(count_outputs(target) for target in targets.values())
    given = arrays.get("target_names")
    target_names = (
        tuple(map(str, range(outputs))) if given is None else tuple(map(str, np.atleast_1d(given)))
    )
    return Parsed(splits, target_names, _unknown(arrays))


def _columns(arrays: Arrays, split: str) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for key, values in arrays.items():
        first, _, name = key.partition("/")
        if first != split or name in ("", TARGET, AVAILABLE):
            continue
        if "/" not in name:
            columns[name] = _where_present(key, values, arrays.get(f"{key}/{PRESENT}"))
        elif name.endswith("/values"):
            name = name.removesuffix("/values")
            offsets = arrays.get(f"{split}/{name}/offsets")
            if offsets is None:
                raise DataError(f"{key} has no {split}/{name}/offsets beside it")
            steps = _where_present(key, values, arrays.get(f"{split}/{name}/{PRESENT}"))
            try:
                columns[name] = Sequences(steps, offsets)
            except ValueError as error:
                raise DataError(f"{split}/{name}: {error}") from error
    return columns


def _where_present(key: str, values: NDArray[Any], present: NDArray[Any] | None) -> NDArray[Any]:
    """Values with NaN where a mask of the same shape says that there is none."""
    if present is None:
        return values
    if present.shape != values.shape or not _is_mask(present):
        raise DataError(
            f"the mask of {key}, {PRESENT}, must be boolean or 0 and 1 and of its shape "
            f"{values.shape}; it is {present.dtype} of shape {present.shape}"
        )
    if values.dtype.kind not in "fiub":
        return values  # refused where all are
    if values.dtype == np.uint8:
        raise DataError(
            f"{key} holds bytes, which are all there or none: a mask of its numbers ({PRESENT}) "
            "wants floats (of images in [0, 1])"
        )
    return np.where(present, values, np.nan)


def _names(arrays: Arrays, train: Mapping[str, Column]) -> list[str]:
    if "modalities" not in arrays:
        return list(train)
    names = [str(name) for name in np.atleast_1d(arrays["modalities"])]
    if sorted(names) != sorted(train):
        raise DataError(f"'modalities' lists {names}, the training split has {sorted(train)}")
    return names


@dataclass(frozen=True)
class _Said:
    """What the file or the caller says of modalities, by name."""

    kinds: Mapping[str, str]
    steps: Mapping[str, int]
    shared_scale: Set[str]
    partial: Mapping[str, str]

    def names(self) -> set[str]:
        return {*self.kinds, *self.steps, *self.shared_scale, *self.partial}


def _texts(arrays: Arrays, key: str) -> dict[str, str]:
    """Words by modality that the file holds as `key/modality`."""
    return {
        name.split("/")[1]: "".join(map(str, np.ravel(value)))
        for name, value in arrays.items()
        if name.startswith(f"{key}/") and name.count("/") == 1
    }


def _modalities(train: Mapping[str, Column], names: list[str], said: _Said) -> tuple[Modality, ...]:
    modalities = []
    for name in names:
        column = train[name]
        shape = tuple(column.shape[1:])
        if name in said.steps:
            if not isinstance(column, Sequences):
                raise DataError(f"steps are given for {name}, whose samples all have one length")
            shape = (said.steps[name], *shape[1:])
        try:
            kind = said.kinds.get(name, _guess(column))
            shared, partial = name in said.shared_scale, said.partial.get(name)
            modalities.append(Modality(name, shape or (1,), kind, shared, partial))
        except ValueError as error:
            raise DataError(str(error)) from error
    return tuple(modalities)


def _resampled(
    columns: Mapping[str, Column], modalities: tuple[Modality, ...]
) -> dict[str, Column]:
    steps = {m.name: m.shape[0] for m in modalities}
    return {
        name: column.resampled(steps[name])
        if isinstance(column, Sequences) and name in steps
        else column
        for name, column in columns.items()
    }


def _guess(column: Column) -> str:
    """Kind by type and shape; a spectrogram cannot be told from these."""
    shape = column.shape[1:]
    if isinstance(column, Sequences):
        return "sequence" if len(shape) == 2 else "vector"
    if column.dtype == np.uint8 and 2 <= len(shape) <= 3 and sorted(shape)[-2] >= MIN_IMAGE_SIDE:
        return "image"
    return "sequence" if len(shape) == 2 else "vector"


def _split(
    arrays: Arrays, split: str, columns: Mapping[str, Column], modalities: tuple[Modality, ...]
) -> ArrayData:
    names = [m.name for m in modalities]
    if sorted(columns) != sorted(names):
        raise DataError(f"split {split!r} has {sorted(columns)}, train has {sorted(names)}")
    values = {m.name: _fit(split, columns[m.name], m) for m in modalities}
    target = _target(arrays.get(f"{split}/{TARGET}"))
    check_target(split, target)
    available = arrays.get(f"{split}/{AVAILABLE}")
    if available is not None and not _is_mask(available):
        raise DataError(f"{split}/{AVAILABLE} must be boolean or 0 and 1, got {available.dtype}")
    try:
        mask = None if available is None else available.astype(bool)
        return ArrayData(values, modalities, mask, target)
    except ValueError as error:
        raise DataError(f"split {split!r}: {error}") from error


def _target(stored: NDArray[Any] | None) -> NDArray[Any] | None:
    """Numbers as columns, classes as indices; several columns of 0 and 1 are labels."""
    if stored is None or stored.dtype.kind not in "fiu":
        return stored
    if stored.dtype.kind == "f":
        return stored.reshape(len(stored), -1).astype(np.float32)
    if stored.ndim == 2 and stored.shape[1] > 1 and _is_mask(stored):
        return stored.astype(bool)
    return stored.astype(np.int64)


def _fit(split: str, column: Column, modality: Modality) -> Column:
    if column.dtype.kind not in "fiub":
        raise DataError(f"{split}/{modality.name} must hold numbers, got {column.dtype}")
    if isinstance(column, Sequences):
        return column.with_steps(modality.shape[0])
    if isinstance(column, np.ndarray) and column.ndim == 1:
        return column[:, None]
    return column


def _is_mask(available: NDArray[Any]) -> bool:
    return available.dtype.kind in "biu" and bool(np.isin(available, (0, 1)).all())


def _unknown(arrays: Arrays) -> list[str]:
    known = {"modalities", "shared_scale", "target_names"}
    return [k for k in arrays if k not in known and k.partition("/")[0] not in (*SPLITS, *WORDS)]


def _some(arrays: Arrays, most: int = 8) -> str:
    names = list(arrays)
    return ", ".join(names[:most]) + (" …" if len(names) > most else "") if names else "nothing"
