"""Data sets by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmrl.data.custom import VALID_SHARE, load_file
from mmrl.data.dataset import DataError, DataSet
from mmrl.data.loaders.crema_d import load_crema_d
from mmrl.data.loaders.image_text import load_food101, load_mm_imdb, load_mvsa
from mmrl.data.loaders.mhd import load_mhd
from mmrl.data.loaders.sentiment import load_iemocap, load_mosei, load_mosi

FILES = Path(__file__).resolve().parent / "files"
SHIPPED = ("avmnist", "digits")

Loader = Callable[..., DataSet]


def _shipped(name: str) -> Loader:
    def load_shipped(valid_share: float = VALID_SHARE, seed: int = 0) -> DataSet:
        return load_file(FILES / f"{name}.npz", valid_share=valid_share, seed=seed)

    return load_shipped


LOADERS: dict[str, Loader] = {
    **{name: _shipped(name) for name in SHIPPED},
    "file": load_file,
    "mhd": load_mhd,
    "mosi": load_mosi,
    "mosei": load_mosei,
    "iemocap": load_iemocap,
    "crema_d": load_crema_d,
    "mm_imdb": load_mm_imdb,
    "food101": load_food101,
    "mvsa": load_mvsa,
}
"""What makes a data set, by name; those that are not shipped take the path of their files first."""


def load(name: str, path: Path | str | None = None, **options: Any) -> DataSet:
    """Loads a data set.

    `avmnist` is SMIL's: 1,050 and 450 pairs of a written and a spoken digit. `digits` has 4,500 and
    1,000 triples of image, sound and pen trajectory. These two are shipped. `file` is one's own
    data, and the others are read from the files that their authors publish.

    Args:
        name: One of `LOADERS`.
        path: Where the files are, for what is not shipped.
        options: Options of the data set's loader, such as `valid_share` and `seed` where a
            validation split is cut.

    Raises:
        DataError: An unknown name or option, no path where one is needed, or files that are
            missing, damaged or laid out in another way.

    Example:
        >>> avmnist = load("avmnist")
        >>> len(avmnist.train), len(avmnist.valid), len(avmnist.test)
        (950, 100, 450)
        >>> [m.name for m in avmnist.modalities]
        ['image', 'sound']
    """
    if name not in LOADERS:
        raise DataError(f"unknown data set {name!r}; known: {', '.join(LOADERS)}")
    loader = LOADERS[name]
    known = [p for p in inspect.signature(loader).parameters if p != "path"]
    if unknown := sorted(set(options) - set(known)):
        raise DataError(f"{name} has no option {', '.join(unknown)}; known: {', '.join(known)}")
    if name in SHIPPED:
        if path is not None:
            raise DataError(f"{name} is shipped with the package and takes no path, got {path}")
        return loader(**options)
    if path is None:
        raise DataError(f"{name} is not shipped: give the path of its files")
    return loader(path, **options)
