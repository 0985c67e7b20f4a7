"""Builds the digit data sets that the package ships, from MNIST, FSDD and Pendigits.

    python tools/build_digits.py SOURCES

SOURCES is a folder with

    mnist.npz         x_train (60000, 28, 28) uint8, y_train, x_test (10000, 28, 28), y_test
    fsdd.npz          wave (int16, all recordings end to end), offsets, label, sample_rate
    pendigits.npz     x_train (7494, 8, 2) uint8, y_train, x_test (3498, 8, 2), y_test
    pairs_digits.npz  rows of these that belong together: smil_{train,test}_{image,sound} and, for
                      MNIST's rows in order, mhd_{train,test}_{sound,traj}

Needs the extra `data` (librosa). The files are written to mmrl/data/files, byte for byte the same
each time. Sources and licences: mmrl/data/files/LICENSES.md.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.features import log_mel
from mmrl.files import write_atomically

OUT = Path(__file__).resolve().parent.parent / "mmrl" / "data" / "files"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STEPS = BANDS = 32
WINDOW, HOP = 512, 256
TRIPLES = {"train": 4_500, "test": 1_000}
EPOCH = (1980, 1, 1, 0, 0, 0)

Arrays = dict[str, NDArray[Any]]


def main() -> None:
    """Reads the sources, writes the files and says how large they are."""
    parser = argparse.ArgumentParser(description="Build the digit data sets that are shipped.")
    parser.add_argument("sources", type=Path, help="folder of the four npz files")
    sources = parser.parse_args().sources
    mnist, fsdd, pens, pairs = (
        read(sources / f"{name}.npz") for name in ("mnist", "fsdd", "pendigits", "pairs_digits")
    )
    sounds = spoken_digits(fsdd)
    for name, arrays in {
        "avmnist": avmnist(mnist, fsdd, sounds, pairs),
        "digits": digits(mnist, fsdd, pens, sounds, pairs),
    }.items():
        content = compressed(arrays)
        write_atomically(OUT / f"{name}.npz", content)
        print(f"{name}.npz: {len(content):,} bytes")
        for key, array in arrays.items():
            print(f"  {key:14} {array.dtype!s:8} {array.shape}")


def read(path: Path) -> Arrays:
    """All arrays of a file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def spoken_digits(fsdd: Arrays) -> NDArray[np.uint8]:
    """Log-mel spectrograms (recordings, 1, steps, bands) in whole decibels above the floor."""
    rate, offsets = int(fsdd["sample_rate"]), fsdd["offsets"]
    sounds = np.zeros((len(offsets) - 1, 1, STEPS, BANDS), np.uint8)
    for i, sound in enumerate(sounds):
        wave = (fsdd["wave"][offsets[i] : offsets[i + 1]] / 2**15).astype(np.float32)
        sound[0] = np.round(
            log_mel(wave, rate, steps=STEPS, bands=BANDS, window=WINDOW, hop=HOP)
        ).astype(np.uint8)
    return sounds


def avmnist(mnist: Arrays, fsdd: Arrays, sounds: NDArray[np.uint8], pairs: Arrays) -> Arrays:
    """SMIL's avMNIST: 1,050 pairs for training and 450 for the test, joined by class."""
    arrays: Arrays = {}
    for split in ("train", "test"):
        image, sound = pairs[f"smil_{split}_image"], pairs[f"smil_{split}_sound"]
        target = mnist[f"y_{split}"][image]
        check_same(target, fsdd["label"][sound])
        arrays[f"{split}/image"] = mnist[f"x_{split}"][image][:, None]
        arrays[f"{split}/sound"] = sounds[sound]
        arrays[f"{split}/target"] = target.astype(np.uint8)
    return arrays | described("image", "sound")


def digits(
    mnist: Arrays, fsdd: Arrays, pens: Arrays, sounds: NDArray[np.uint8], pairs: Arrays
) -> Arrays:
    """Triples of image, sound and pen trajectory, as in MHD: MNIST's first rows and their partners.

    There are fewer recordings than triples: triples with the same recording stand side by side,
    where the compression finds them.
    """
    arrays: Arrays = {}
    for split, count in TRIPLES.items():
        sound = pairs[f"mhd_{split}_sound"][:count]
        order = np.argsort(sound, kind="stable")
        sound, pen = sound[order], pairs[f"mhd_{split}_traj"][:count][order]
        target = mnist[f"y_{split}"][order]
        check_same(target, fsdd["label"][sound], pens[f"y_{split}"][pen])
        arrays[f"{split}/image"] = mnist[f"x_{split}"][order][:, None]
        arrays[f"{split}/sound"] = sounds[sound]
        arrays[f"{split}/trajectory"] = pens[f"x_{split}"][pen]
        arrays[f"{split}/target"] = target.astype(np.uint8)
    return arrays | described("image", "sound", "trajectory")


def described(*modalities: str) -> Arrays:
    """What the shapes do not show."""
    kinds = {"image": "image", "sound": "sound", "trajectory": "vector"}
    return {
        "modalities": np.array(modalities),
        "target_names": np.array(DIGITS),
        **{f"kinds/{name}": np.array(kinds[name]) for name in modalities},
    }


def check_same(*labels: NDArray[Any]) -> None:
    """Refuses partners of different classes."""
    if any((label != labels[0]).any() for label in labels):
        raise ValueError("the sources join samples of different digits")


def compressed(arrays: Arrays) -> bytes:
    """An npz file whose bytes depend on the arrays only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content.getvalue(), compresslevel=9)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
