"""MM-IMDb, UPMC Food-101 and MVSA: images with text."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.custom import VALID_SHARE, from_arrays
from mmrl.data.dataset import SPLITS, DataError, DataSet
from mmrl.data.loaders.media import Arrays, Text, cached, read_images
from mmrl.data.splits import split_off
from mmrl.files import read_json, read_text

SIZE = 64
GENRES = (
    "Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama",
    "Family", "Fantasy", "Film-Noir", "History", "Horror", "Music", "Musical", "Mystery",
    "Romance", "Sci-Fi", "Short", "Sport", "Thriller", "War", "Western",
)  # fmt: skip
"""The 23 of MM-IMDb that are scored; Adult, News, Reality-TV and Talk-Show are left out."""

MM_IMDB = (
    "MM-IMDb is a folder of split.json and of dataset/<id>.json and <id>.jpeg (or labels/ and "
    "images/ of these): https://github.com/johnarevalo/gmu-mmimdb, "
    "https://archive.org/download/mmimdb"
)
FOOD = (
    "UPMC Food-101 is a folder of texts/train_titles.csv and test_titles.csv (lines: image, text, "
    "class) and of images/train/<class>/<image> and images/test/<class>/<image>: "
    "https://visiir.isir.upmc.fr/explore"
)
MVSA = (
    "MVSA-Single is a folder of labelResultAll.txt (lines: ID, tab, text label, comma, image "
    "label) and of data/<ID>.jpg and data/<ID>.txt: "
    "https://mcrlab.net/research/mvsa-sentiment-analysis-on-multi-view-social-data/"
)
SENTIMENTS = ("negative", "neutral", "positive")


@dataclass
class Samples:
    """What a split consists of, before images are read and texts encoded."""

    ids: list[str]
    images: list[Path]
    texts: list[str]
    target: NDArray[Any]


def load_mm_imdb(
    path: Path | str,
    *,
    text_model: Path | str | None = None,
    embeddings: Path | str | None = None,
    size: int = SIZE,
    cache: Path | str | None = None,
) -> DataSet:
    """Loads MM-IMDb: poster and plot; the targets are 23 genres, of which a film can have several.

    Args:
        path: The folder of `split.json`.
        text_model: Folder of a transformers model that encodes the longest plot.
        embeddings: Vectors instead, see `media.Text`; the ids are those of the films.
        size: Sides of the images.
        cache: Folder for the features; by default in `path`.

    Raises:
        DataError: Files are missing, damaged or laid out in another way, or no text encoder.
    """
    text = Text(text_model, embeddings)
    folder = Path(path)
    return _load("mm_imdb", folder, cache, size, text, lambda: _mm_imdb(folder), GENRES)


def load_food101(
    path: Path | str,
    *,
    text_model: Path | str | None = None,
    embeddings: Path | str | None = None,
    size: int = SIZE,
    cache: Path | str | None = None,
    valid_share: float = VALID_SHARE,
    seed: int = 0,
) -> DataSet:
    """Loads UPMC Food-101: photo and title of a web page; the targets are 101 dishes.

    Args:
        path: The folder of `images` and `texts`.
        text_model: Folder of a transformers model that encodes the titles.
        embeddings: Vectors instead, see `media.Text`; the ids are the names of the images.
        size: Sides of the images.
        cache: Folder for the features; by default in `path`.
        valid_share: Share of the training samples that becomes the validation split.
        seed: Seed of the validation split.

    Raises:
        DataError: Files are missing, damaged or laid out in another way, or no text encoder.
    """
    text = Text(text_model, embeddings)
    folder = Path(path)
    return _load(
        "food101", folder, cache, size, text, lambda: _food(folder), None, valid_share, seed
    )


def load_mvsa(
    path: Path | str,
    *,
    text_model: Path | str | None = None,
    embeddings: Path | str | None = None,
    size: int = SIZE,
    cache: Path | str | None = None,
    valid_share: float = VALID_SHARE,
    test_share: float = 0.2,
    seed: int = 0,
) -> DataSet:
    """Loads MVSA-Single: image and tweet; the targets are negative, neutral and positive.

    Where text and image are labelled differently, the one that is not neutral counts; samples with
    opposite labels are left out (Xu and Mao 2017). There is no published split: `train.txt` and
    `test.txt` in the folder (one ID a line; what follows is ignored) are one, otherwise it is drawn
    by the seed, stratified by class.

    Args:
        path: The folder of `labelResultAll.txt`.
        text_model: Folder of a transformers model that encodes the tweets.
        embeddings: Vectors instead, see `media.Text`.
        size: Sides of the images.
        cache: Folder for the features; by default in `path`.
        valid_share: Share of the training samples that becomes the validation split.
        test_share: Share of all samples that becomes the test split, if it is drawn.
        seed: Seed of the splits that are drawn.

    Raises:
        DataError: Files are missing, damaged or laid out in another way, or no text encoder.
    """
    text = Text(text_model, embeddings)
    folder = Path(path)
    return _load(
        "mvsa", folder, cache, size, text, lambda: _mvsa(folder, test_share, seed), SENTIMENTS,
        valid_share, seed, {"test_share": test_share, "seed": seed},
    )  # fmt: skip


def _load(
    name: str,
    folder: Path,
    cache: Path | str | None,
    size: int,
    text: Text,
    samples: Any,
    target_names: tuple[str, ...] | None,
    valid_share: float = VALID_SHARE,
    seed: int = 0,
    more: dict[str, Any] | None = None,
) -> DataSet:
    def build() -> Arrays:
        splits: dict[str, Samples] = samples()
        names = target_names or _classes(splits)
        arrays: Arrays = {
            "target_names": np.array(names),
            "modalities": np.array(["image", "text"]),
        }
        for split, part in splits.items():
            images, seen = read_images(part.images, size)
            if not seen.any():
                raise DataError(f"none of the images of {split} can be read, as {part.images[0]}")
            vectors, written = text(part.ids, part.texts)
            arrays[f"{split}/image"], arrays[f"{split}/text"] = images, vectors
            arrays[f"{split}/available"] = np.stack([seen, written], axis=1)
            arrays[f"{split}/target"] = _indices(part.target, names)
        return arrays

    settings = {"size": size, **text.settings, **(more or {})}
    arrays = cached(name, folder, cache, settings, build)
    return from_arrays(arrays, name=name, valid_share=valid_share, seed=seed)


def _classes(splits: dict[str, Samples]) -> tuple[str, ...]:
    return tuple(sorted({str(name) for name in splits["train"].target}))


def _indices(target: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any]:
    if target.dtype.kind != "U":
        return target
    if unknown := sorted(set(target.tolist()) - set(names)):
        raise DataError(f"the test has the classes {unknown[:5]}, which train does not have")
    return np.array([names.index(name) for name in target.tolist()], np.int64)


def _mm_imdb(folder: Path) -> dict[str, Samples]:
    listed = _json(folder / "split.json", MM_IMDB)
    splits = {}
    for split, key in zip(SPLITS, ("train", "dev", "test"), strict=True):
        if not isinstance(listed, dict) or key not in listed:
            raise DataError(f"{folder / 'split.json'} has no list {key!r}; {MM_IMDB}")
        ids = [str(name) for name in listed[key]]
        whole = (folder / "dataset").is_dir()
        described = [
            _json(folder / ("dataset" if whole else "labels") / f"{name}.json", MM_IMDB)
            for name in ids
        ]
        images = [folder / ("dataset" if whole else "images") / f"{name}.jpeg" for name in ids]
        texts = [max(map(str, film.get("plot") or [""]), key=len) for film in described]
        genres = [set(film.get("genres") or ()) for film in described]
        target = np.array([[genre in own for genre in GENRES] for own in genres])
        splits[split] = Samples(ids, images, texts, target.reshape(len(ids), len(GENRES)))
    return splits


def _json(path: Path, layout: str) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; {layout}") from error


def _food(folder: Path) -> dict[str, Samples]:
    splits = {}
    for split in ("train", "test"):
        path = folder / "texts" / f"{split}_titles.csv"
        try:
            text = read_text(path)
            rows = [row for row in csv.reader(text.splitlines(keepends=True)) if row]
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"cannot read {path}: {error}; {FOOD}") from error
        if not rows or any(len(row) != 3 for row in rows):
            raise DataError(f"{path} must have three columns: image, text, class; {FOOD}")
        splits[split] = Samples(
            [row[0] for row in rows],
            [folder / "images" / split / row[2] / row[0] for row in rows],
            [row[1] for row in rows],
            np.array([row[2] for row in rows]),
        )
    return splits


def _mvsa(folder: Path, test_share: float, seed: int) -> dict[str, Samples]:
    labels = _mvsa_labels(folder / "labelResultAll.txt")
    ids = list(labels)
    target = np.array([SENTIMENTS.index(labels[name]) for name in ids])
    lists = {split: folder / f"{split}.txt" for split in ("train", "test")}
    if all(path.is_file() for path in lists.values()):
        places = {name: i for i, name in enumerate(ids)}
        rows = {split: _listed(path, places) for split, path in lists.items()}
    else:
        rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index("test")]))
        stay, go = split_off(target, test_share, rng)
        rows = {"train": stay, "test": go}
    splits = {}
    for split, own in rows.items():
        names = [ids[row] for row in own]
        texts = [_tweet(folder / "data" / f"{name}.txt") for name in names]
        images = [folder / "data" / f"{name}.jpg" for name in names]
        splits[split] = Samples(names, images, texts, target[own])
    return splits


def _mvsa_labels(path: Path) -> dict[str, str]:
    try:
        lines = read_text(path).splitlines()[1:]
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; {MVSA}") from error
    labels = {}
    for line in filter(str.strip, lines):
        fields = line.split("\t")
        pair = [label.strip().lower() for label in fields[-1].split(",")]
        if len(fields) != 2 or len(pair) != 2 or not set(pair) <= set(SENTIMENTS):
            raise DataError(
                f"{path} has the line {line!r}; {MVSA} (MVSA-Multiple, with three pairs a line, is "
                "not read)"
            )
        polar = {label for label in pair if label != "neutral"}
        if len(polar) < 2:
            labels[fields[0].strip()] = polar.pop() if polar else "neutral"
    return labels


def _listed(path: Path, places: dict[str, int]) -> NDArray[np.intp]:
    """Rows of the IDs of a list; those without a label are left out."""
    names = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    stems = [Path(name).stem for name in names]
    rows = np.array([places[stem] for stem in stems if stem in places], np.intp)
    if not len(rows):
        raise DataError(f"{path} lists no ID that has a label")
    return rows


def _tweet(path: Path) -> str:
    # Tweets of this set are in a mixture of encodings; every byte is a character of this one.
    return read_text(path, "latin-1") if path.is_file() else ""
