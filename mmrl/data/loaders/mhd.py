"""MHD, the multimodal handwritten digits of Vasco et al. (Nexus), as GMC uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData
from mmrl.data.custom import VALID_SHARE
from mmrl.data.dataset import DataError, DataSet
from mmrl.data.splits import split_train
from mmrl.files import open_plain
from mmrl.modality import Modality

CLASSES = 10
PARTS = ("labels", "images", "trajectories", "sounds")
LAYOUT = (
    "MHD is a folder of mhd_train.pt and mhd_test.pt, each a tuple of labels (n,), images "
    "(n, 1, 28, 28), trajectories (n, 200), sounds (n, 4, 32, 32) and two normalisations; they "
    "come from https://github.com/miguelsvasco/gmc (gmc_code/download_unsupervised_dataset.sh)"
)


def load_mhd(
    path: Path | str, *, label: bool = False, valid_share: float = VALID_SHARE, seed: int = 0
) -> DataSet:
    """Loads MHD: image (1, 28, 28), sound (1, 32, 128), trajectory (200,), digits 0 to 9.

    Args:
        path: The folder of `mhd_train.pt` and `mhd_test.pt`.
        label: Whether the class, one-hot, is a modality as well, as in GMC's paper. With it, the
            complete condition is trivial.
        valid_share: Share of the training samples that becomes the validation split.
        seed: Seed of the validation split.

    Raises:
        DataError: A file is missing, damaged or of another layout.
    """
    train, test = (_read(Path(path) / f"mhd_{split}.pt", label) for split in ("train", "test"))
    train, valid = split_train(train, valid_share, seed)
    return DataSet("mhd", train, valid, test, tuple(map(str, range(CLASSES))))


def _read(path: Path, label: bool) -> ArrayData:
    if not path.is_file():
        raise DataError(f"there is no file {path}; {LAYOUT}")
    try:
        with open_plain(path) as file:
            parts: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's message would advise to load it unsafely
        what = type(error).__name__
        raise DataError(f"{path} is damaged, or holds more than tensors ({what})") from error
    if not isinstance(parts, tuple | list) or len(parts) < len(PARTS):
        raise DataError(f"{path} is a {type(parts).__name__}, not a tuple of arrays; {LAYOUT}")
    try:
        target, image, trajectory, sound = (np.asarray(part) for part in parts[: len(PARTS)])
        target = (target.argmax(axis=1) if target.ndim == 2 else target).astype(np.int64)
        values = {
            "image": _bytes(image).reshape(-1, 1, 28, 28),
            # Blocks of bands one below the other, (bands, steps): steps come first here.
            "sound": np.swapaxes(sound.reshape(len(sound), -1, sound.shape[-1]), 1, 2)[:, None],
            "trajectory": trajectory.reshape(len(trajectory), -1),
        }
        kinds = {"image": "image", "sound": "sound", "trajectory": "vector"}
        if label:
            values["label"] = np.eye(CLASSES, dtype=np.float32)[target]
            kinds["label"] = "label"
        modalities = [Modality(n, tuple(v.shape[1:]), kinds[n]) for n, v in values.items()]
        return ArrayData(values, modalities, target=target)
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"{path} is laid out in another way: {error}; {LAYOUT}") from error


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if image.size and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"images must lie in [0, 1], got {image.min():g} … {image.max():g}")
    return np.round(image * 255).astype(np.uint8)
