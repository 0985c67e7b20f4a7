"""CMU-MOSI, CMU-MOSEI and IEMOCAP: text, audio and vision features as sequences, in pickles.

Two layouts are read: MMSA's, which DiCMoR and IMDer use, and MulT's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData
from mmrl.data.dataset import SENTIMENT, SPLITS, DataError, DataSet
from mmrl.data.restricted import read_pickle
from mmrl.modality import Modality

MODALITIES = ("text", "audio", "vision")
EMOTIONS = ("neutral", "happy", "sad", "angry")
MMSA, MULT = "https://github.com/thuiar/MMSA", "https://github.com/yaohungt/Multimodal-Transformer"

FILES = {
    ("mosi", True): ("aligned_50.pkl", "mosi_data.pkl"),
    ("mosi", False): ("unaligned_50.pkl", "mosi_data_noalign.pkl"),
    ("mosei", True): ("aligned_50.pkl", "mosei_senti_data.pkl"),
    ("mosei", False): ("unaligned_50.pkl", "mosei_senti_data_noalign.pkl"),
    ("iemocap", True): ("iemocap_data.pkl",),
    ("iemocap", False): ("iemocap_data_noalign.pkl",),
}
"""Names by data set and whether its sequences are aligned to words: MMSA's, then MulT's."""


def load_mosi(path: Path | str, *, aligned: bool = True) -> DataSet:
    """Loads CMU-MOSI; the target is the sentiment in [-3, 3].

    Args:
        path: The pickle, or the folder it is in.
        aligned: Which file is taken from a folder: with sequences aligned to words (all of 50
            steps), or with those of each modality's own rate.

    Raises:
        DataError: The file is missing, damaged, holds more than arrays, or is of another layout.
    """
    return _load_sentiment("mosi", path, aligned)


def load_mosei(path: Path | str, *, aligned: bool = True) -> DataSet:
    """Loads CMU-MOSEI; see `load_mosi`."""
    return _load_sentiment("mosei", path, aligned)


def load_iemocap(path: Path | str, *, aligned: bool = True, single: bool = False) -> DataSet:
    """Loads IEMOCAP's features in MulT's layout; the targets are four emotions.

    Args:
        path: The pickle, or the folder it is in.
        aligned: Which file is taken from a folder, see `load_mosi`.
        single: The file says of each emotion whether it is there: four labels. With `single`, only
            samples with exactly one are kept, and targets are classes.

    Raises:
        DataError: The file is missing, damaged, holds more than arrays, or is of another layout.
    """
    found = _find("iemocap", path, aligned)
    splits = {}
    for split, part in _splits(found).items():
        labels = _array(found, part, split, "labels")
        if labels.ndim != 3 or labels.shape[1:] != (len(EMOTIONS), 2):
            raise DataError(
                f"{found}: {split}/labels must be (samples, {len(EMOTIONS)}, 2), got "
                f"{labels.shape}; {_layout('iemocap', aligned)}"
            )
        present = labels[..., 1] > labels[..., 0]
        data = _data(found, part, split, present)
        if single:
            one = np.flatnonzero(present.sum(axis=1) == 1)
            data = data.subset(one)
            data.target = present[one].argmax(axis=1)
        splits[split] = data
    return DataSet("iemocap", target_names=EMOTIONS, **splits)


def _load_sentiment(name: str, path: Path | str, aligned: bool) -> DataSet:
    found = _find(name, path, aligned)
    splits = {}
    for split, part in _splits(found).items():
        key = "regression_labels" if "regression_labels" in part else "labels"
        target = _array(found, part, split, key).astype(np.float32).reshape(-1, 1)
        splits[split] = _data(found, part, split, target)
    return DataSet(name, target_names=(SENTIMENT,), **splits)


def _find(name: str, path: Path | str, aligned: bool) -> Path:
    path = Path(path)
    if path.is_file():
        return path
    for folder in (path, path / "Processed", path / name.upper() / "Processed"):
        for file in FILES[name, aligned]:
            if (folder / file).is_file():
                return folder / file
    raise DataError(f"there is no file {path}, nor one of {name} in it; {_layout(name, aligned)}")


def _layout(name: str, aligned: bool) -> str:
    where = MULT if name == "iemocap" else f"{MMSA} or {MULT}"
    return (
        f"expected {' or '.join(FILES[name, aligned])}: a pickled dict of train, valid and test, "
        f"each with arrays text, audio, vision (samples, steps, features) and labels; see {where}"
    )


def _splits(path: Path) -> dict[str, Mapping[str, Any]]:
    content = read_pickle(path)
    if not isinstance(content, dict) or not set(SPLITS) <= set(content):
        held = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{path} must be a dict of {', '.join(SPLITS)}, it is {held}")
    return {split: content[split] for split in SPLITS}


def _data(path: Path, part: Mapping[str, Any], split: str, target: NDArray[Any]) -> ArrayData:
    values, modalities = {}, []
    for name in MODALITIES:
        column = _array(path, part, split, name)
        if column.ndim != 3 or column.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: {split}/{name} must be numbers (samples, steps, features), got "
                f"{column.dtype} of shape {column.shape}"
            )
        # A feature that could not be computed is -inf in these files; MMSA and MulT read 0.
        column = np.where(np.isneginf(column), 0, column).astype(np.float32)
        values[name] = column
        modalities.append(Modality(name, tuple(column.shape[1:]), "sequence"))
    try:
        return ArrayData(values, modalities, target=target)
    except ValueError as error:
        raise DataError(f"{path}: split {split!r}: {error}") from error


def _array(path: Path, part: Any, split: str, key: str) -> NDArray[Any]:
    if not isinstance(part, Mapping) or key not in part:
        held = sorted(map(str, part)) if isinstance(part, Mapping) else type(part).__name__
        raise DataError(f"{path}: split {split!r} has no {key!r}; it holds {held}")
    return np.asarray(part[key])
