"""The converter of UTD-MHAD, on a small file of its layout."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrl.data.custom import load_file
from mmrl.data.npz import write_npz
from mmrl.data.sequences import Sequences

TOOL = Path(__file__).parents[2] / "tools" / "convert_utd_mhad.py"
CLIPS, JOINTS, HIPS = 12, 20, 3


def source(path: Path, body: NDArray[np.float64], place: NDArray[np.float64]) -> Path:
    """Clips of one dance, by somebody of a size at a place for each clip."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 15, CLIPS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    dance = rng.normal(size=(offsets[-1], JOINTS, 3))
    clip = np.repeat(np.arange(CLIPS), lengths)
    write_npz(
        path,
        {
            "inertial": rng.normal(size=(offsets[-1], 6)).astype(np.float32),
            "inertial_offsets": offsets,
            "skeleton": (dance * body[clip, None, None] + place[clip, None]).astype(np.float32),
            "skeleton_offsets": offsets,
            "depth": rng.integers(0, 256, (CLIPS, 8, 30, 40), dtype=np.uint8),
            "action": (np.arange(CLIPS) % 3).astype(np.uint8),
            "is_test": np.arange(CLIPS) >= 6,
        },
    )
    return path


def convert(source: Path, target: Path) -> Path:
    subprocess.run([sys.executable, TOOL, source, target], check=True)
    return target


def test_who_dances_where_is_not_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    still = source(tmp_path / "still.npz", np.ones(CLIPS), np.zeros((CLIPS, 3)))
    moved = source(
        tmp_path / "moved.npz", rng.uniform(0.5, 2, CLIPS), 3 * rng.normal(size=(CLIPS, 3))
    )
    a = load_file(convert(still, tmp_path / "a.npz"), valid_share=0.5)
    b = load_file(convert(moved, tmp_path / "b.npz"), valid_share=0.5)
    for one, other in ((a.train, b.train), (a.valid, b.valid), (a.test, b.test)):
        np.testing.assert_allclose(
            one.values["skeleton"][:], other.values["skeleton"][:], atol=1e-4
        )


def test_a_clip_starts_with_the_hips_at_the_origin_and_keeps_its_parts_together(
    tmp_path: Path,
) -> None:
    path = source(tmp_path / "source.npz", np.ones(CLIPS), np.ones((CLIPS, 3)))
    data = load_file(convert(path, tmp_path / "actions.npz"), valid_share=0.5)
    assert [(m.name, m.kind) for m in data.modalities] == [
        ("inertial", "sequence"),
        ("skeleton", "sequence"),
        ("depth", "image"),
    ]
    assert (len(data.train), len(data.valid), len(data.test)) == (3, 3, 6)
    skeletons = data.test.values["skeleton"]
    assert isinstance(skeletons, Sequences)
    joints = skeletons.values.reshape(-1, JOINTS, 3)
    np.testing.assert_allclose(joints[skeletons.offsets[:-1], HIPS], 0, atol=1e-6)
    with np.load(path) as raw:
        np.testing.assert_array_equal(data.test.values["depth"][:], raw["depth"][6:])
        np.testing.assert_array_equal(data.test.target, raw["action"][6:])
        np.testing.assert_array_equal(skeletons.lengths, np.diff(raw["skeleton_offsets"])[6:])
