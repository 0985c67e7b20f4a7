"""Images, videos and text as arrays, computed once and kept in a file beside the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from mmrl.data.dataset import DataError
from mmrl.data.extras import optional
from mmrl.data.npz import read_npz, write_npz
from mmrl.files import FileError, brief

CACHE = "mmrl_cache"
TEXT_BATCH = 32

Arrays = dict[str, NDArray[Any]]


def cached(
    name: str,
    folder: Path,
    cache: Path | str | None,
    settings: Mapping[str, Any],
    build: Callable[[], Arrays],
) -> Arrays:
    """Arrays that `build` makes, or made earlier with the same settings.

    Args:
        name: Name of the data set.
        folder: Folder of the data set's files; the cache is in it unless `cache` says otherwise.
        cache: Another folder, where that of the data cannot be written.
        settings: What the arrays depend on.
        build: Makes the arrays, in the layout of `mmrl.data.custom`.

    Raises:
        DataError: The cache cannot be written.
    """
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    path = (folder / CACHE if cache is None else Path(cache)) / f"{name}-{key[:12]}.npz"
    if path.is_file():
        try:
            return read_npz(path)
        except (OSError, FileError) as error:
            raise DataError(f"{error}; remove it, and it is made anew") from error
    arrays = build()
    try:
        write_npz(path, arrays)
    except OSError as error:
        raise DataError(f"{error}; give another folder for the features: cache=…") from error
    return arrays


def read_image(path: Path, size: int) -> UInt8[NDArray[np.uint8], "3 size size"] | None:
    """An image as RGB, its shorter side scaled to `size`, the centre cut out; None if unreadable.

    Args:
        path: A file that OpenCV reads.
        size: Sides of the result.
    """
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    return None if image is None else squared(np.asarray(image, np.uint8), size)


def squared(
    image: UInt8[NDArray[np.uint8], "height width 3"], size: int
) -> UInt8[NDArray[np.uint8], "3 size size"]:
    """A BGR image as square RGB, channels first."""
    import cv2

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    kernel = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    scaled = cv2.cvtColor(cv2.resize(square, (size, size), interpolation=kernel), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.uint8)


def read_images(
    paths: Sequence[Path], size: int
) -> tuple[UInt8[NDArray[np.uint8], "n 3 size size"], NDArray[np.bool_]]:
    """Images, black where there is none, and which there are."""
    images = np.zeros((len(paths), 3, size, size), np.uint8)
    present = np.zeros(len(paths), bool)
    for i, path in enumerate(paths):
        image = read_image(path, size)
        if image is not None:
            images[i], present[i] = image, True
    return images, present


def read_frames(
    path: Path, frames: int, size: int
) -> UInt8[NDArray[np.uint8], "channels size size"] | None:
    """Frames of a video at the beginnings of equal parts of it, RGB, one after the other.

    Args:
        path: A file that OpenCV reads.
        frames: How many; those at positions `i * (length // frames)`.
        size: Sides of the result, see `read_image`.

    Returns:
        (3 * frames, size, size), or None where the file is missing, unreadable or too short.
    """
    import cv2

    video = cv2.VideoCapture(str(path)) if path.is_file() else None
    if video is None:
        return None
    shown = []
    try:
        # Some containers do not say how long they are, and seeking is not exact: all is decoded.
        while True:
            read, frame = video.read()
            if not read:
                break
            shown.append(squared(np.asarray(frame, np.uint8), size))
    finally:
        video.release()
    if len(shown) < frames:
        return None
    step = len(shown) // frames
    return np.concatenate([shown[i * step] for i in range(frames)])


class Text:
    """Where the vectors of texts come from: a language model, or a file of embeddings.

    Args:
        model: Folder of a model that the `transformers` library loads (extra `text`); a text's
            vector is the mean of the last layer over its tokens.
        embeddings: An npz file with `ids` (n,) and `values` (n, features) or (n, steps, features).
        length: Tokens that the model sees.

    Raises:
        DataError: Neither or both are given, or the file is missing, damaged or of another layout.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        embeddings: Path | str | None = None,
        length: int = 256,
    ) -> None:
        if (model is None) == (embeddings is None):
            raise DataError(
                "text needs one of text_model=<folder of a transformers model> and "
                "embeddings=<npz file with ids and values>"
            )
        self.settings = {"model": model, "embeddings": embeddings, "length": length}
        self.model = model
        self.length = length
        self.rows: dict[str, NDArray[Any]] = {}
        if embeddings is not None:
            self.rows = _embeddings(Path(embeddings))

    def __call__(
        self, ids: Sequence[str], texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of texts, and of which there are some: (n, features) or (n, steps, features)."""
        if self.model is not None:
            present = np.array([bool(text.strip()) for text in texts])
            return encode_texts(texts, Path(self.model), self.length), present
        present = np.array([name in self.rows for name in ids])
        if not present.any():
            raise DataError(f"the embeddings have none of the ids {', '.join(ids[:3])} …")
        shape = next(iter(self.rows.values())).shape
        values = np.stack([self.rows.get(name, np.zeros(shape)) for name in ids])
        return values.astype(np.float32), present


def _embeddings(path: Path) -> dict[str, NDArray[Any]]:
    try:
        arrays = read_npz(path)
        ids, values = arrays["ids"], arrays["values"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} must be an npz file with ids and values: {brief(error)}"
        ) from error
    if ids.ndim != 1 or len(ids) != len(values) or values.ndim not in (2, 3):
        raise DataError(
            f"{path}: expected ids (n,) and values (n, features) or (n, steps, features), got "
            f"{ids.shape} and {values.shape}"
        )
    return dict(zip(map(str, ids.tolist()), values, strict=True))


def encode_texts(
    texts: Sequence[str], model: Path, length: int
) -> Float[NDArray[np.float32], "n features"]:
    """Vectors of texts by a model in a local folder; nothing is downloaded.

    Raises:
        DataError: No such folder, or no model in it.
        ModuleNotFoundError: transformers is not installed.
    """
    import torch

    transformers = optional("transformers", "text")
    if not model.is_dir():
        raise DataError(f"there is no folder {model} with a transformers model")
    only_local = {"local_files_only": True, "trust_remote_code": False}  # no program in the folder
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, **only_local)
        encoder = transformers.AutoModel.from_pretrained(model, **only_local).eval()
    except (OSError, ValueError) as error:
        raise DataError(f"{model} holds no transformers model: {error}") from error
    parts = []
    for start in range(0, len(texts), TEXT_BATCH):
        tokens = tokenizer(
            list(texts[start : start + TEXT_BATCH]),
            padding=True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = encoder(**tokens).last_hidden_state
        weight = tokens["attention_mask"][..., None].to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1).clamp_min(1)
        parts.append(mean.float().numpy())
    return np.concatenate(parts)
