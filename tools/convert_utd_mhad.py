"""Writes the actions of UTD-MHAD as a data set of one's own (docs/data.md), split by subject.

    python tools/convert_utd_mhad.py utd_mhad.npz actions.npz

The source holds `inertial` (all steps, 6), `skeleton` (all steps, 20, 3) with `*_offsets`, `depth`
(clips, 8, 30, 40), `action` and `is_test` (even subjects, the usual cross-subject split).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mmrl.data.npz import read_npz, write_npz
from mmrl.data.sequences import Sequences


def main() -> None:
    """Reads one file and writes the other."""
    parser = argparse.ArgumentParser(description="Convert UTD-MHAD.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    source = read_npz(options.source)
    arrays = {
        "modalities": np.array(["inertial", "skeleton", "depth"]),
        "kinds/depth": np.array("image"),
    }
    for split, is_test in {"train": False, "test": True}.items():
        rows = np.flatnonzero(source["is_test"] == is_test)
        for name in ("inertial", "skeleton"):
            steps = source[name].reshape(len(source[name]), -1)
            part = Sequences(steps, source[f"{name}_offsets"]).take(rows)
            arrays[f"{split}/{name}/values"] = part.values
            arrays[f"{split}/{name}/offsets"] = part.offsets
        arrays[f"{split}/depth"] = source["depth"][rows]
        arrays[f"{split}/target"] = source["action"][rows].astype(np.int64)
    write_npz(options.target, arrays)


if __name__ == "__main__":
    main()
