"""Writes the actions of UTD-MHAD as a data set of one's own (docs/data.md), split by subject.

    python tools/convert_utd_mhad.py utd_mhad.npz actions.npz

The source holds `inertial` (all steps, 6), `skeleton` (all steps, 20, 3) with `*_offsets`, `depth`
(clips, 8, 30, 40), `action` and `is_test` (even subjects, the usual cross-subject split).

Skeletons are written as seen from the hips at the start of the clip, in units of the trunk: where
somebody stands and how tall they are tells nothing of what they do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrl.data.npz import read_npz, write_npz
from mmrl.data.sequences import Sequences

HEAD, HIPS = 0, 3
"""Joints of Kinect's skeleton."""


def seen_from_hips(joints: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Positions relative to the hips' first one, in units of the mean distance from hips to head.

    Args:
        joints: Positions of all clips' steps (all steps, 20, 3).
        offsets: Where each clip starts, and where the last ends (clips + 1,).
    """
    clip = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    first = joints[offsets[:-1], HIPS]
    trunk = np.linalg.norm(joints[:, HEAD] - joints[:, HIPS], axis=1)
    mean_trunk = np.add.reduceat(trunk, offsets[:-1]) / np.diff(offsets)
    relative = (joints - first[clip, None]) / mean_trunk[clip, None, None]
    return np.asarray(relative, np.float32)


def main() -> None:
    """Reads one file and writes the other."""
    parser = argparse.ArgumentParser(description="Convert UTD-MHAD.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    source = read_npz(options.source)
    skeletons = seen_from_hips(source["skeleton"], source["skeleton_offsets"])
    sequences = {"inertial": source["inertial"], "skeleton": skeletons.reshape(len(skeletons), -1)}
    arrays = {
        "modalities": np.array(["inertial", "skeleton", "depth"]),
        "kinds/depth": np.array("image"),
        "shared_scale": np.array(["skeleton"]),
    }
    for split, is_test in {"train": False, "test": True}.items():
        rows = np.flatnonzero(source["is_test"] == is_test)
        for name, steps in sequences.items():
            part = Sequences(steps, source[f"{name}_offsets"]).take(rows)
            arrays[f"{split}/{name}/values"] = part.values
            arrays[f"{split}/{name}/offsets"] = part.offsets
        arrays[f"{split}/depth"] = source["depth"][rows]
        arrays[f"{split}/target"] = source["action"][rows].astype(np.int64)
    write_npz(options.target, arrays)


if __name__ == "__main__":
    main()
