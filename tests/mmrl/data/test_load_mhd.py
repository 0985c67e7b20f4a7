from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrl.data import DataError, load


def make(folder: Path, **changes: Any) -> dict[str, tuple[Any, ...]]:
    torch.manual_seed(0)
    splits = {}
    for split, n in {"train": 40, "test": 10}.items():
        parts = {
            "labels": torch.arange(n) % 10,
            "images": torch.rand(n, 1, 28, 28),
            "trajectories": torch.rand(n, 200),
            "sounds": torch.rand(n, 4, 32, 32),
            "trajectory_norm": [torch.tensor(0.0), torch.tensor(1.0)],
            "sound_norm": [torch.tensor(-1.0), torch.tensor(1.0)],
        } | changes
        splits[split] = tuple(parts.values())
        torch.save(splits[split], folder / f"mhd_{split}.pt")
    return splits


def test_mhd_has_gmcs_shapes(tmp_path: Path) -> None:
    parts = make(tmp_path)
    data = load("mhd", tmp_path, valid_share=0.25)
    assert {m.name: (m.kind, m.shape) for m in data.modalities} == {
        "image": ("image", (1, 28, 28)),
        "sound": ("sound", (1, 32, 128)),
        "trajectory": ("vector", (200,)),
    }
    assert (len(data.train), len(data.valid), len(data.test)) == (30, 10, 10)
    batch = data.test.batch(np.array([3]))
    _, image, trajectory, sound = parts["test"][:4]
    assert batch.values["image"].dtype == torch.uint8
    torch.testing.assert_close(batch.values["image"][0] / 255, image[3], atol=1 / 500, rtol=0)
    torch.testing.assert_close(batch.values["trajectory"][0], trajectory[3])
    # The four blocks of 32 bands are one axis of 128, the last; steps come before it.
    torch.testing.assert_close(batch.values["sound"][0, 0, 5, 32 * 2 + 7], sound[3, 2, 7, 5])
    assert batch.target is not None
    assert batch.target.tolist() == [3]


def test_the_label_can_be_a_modality(tmp_path: Path) -> None:
    make(tmp_path)
    data = load("mhd", tmp_path, label=True)
    assert data.modalities[3].kind == "label"
    batch = data.test.batch(np.array([3, 7]))
    assert batch.values["label"].argmax(1).tolist() == [3, 7]
    assert batch.values["label"].sum(1).tolist() == [1, 1]


def test_one_hot_labels_are_classes(tmp_path: Path) -> None:
    make(tmp_path, labels=torch.eye(10).repeat(4, 1)[:10])
    with pytest.raises(DataError, match="another way"):
        load("mhd", tmp_path)  # ten labels for forty images
    for split, n in {"train": 40, "test": 10}.items():
        parts = list(torch.load(tmp_path / f"mhd_{split}.pt", weights_only=True))
        parts[0] = torch.eye(10).repeat(4, 1)[:n]
        torch.save(tuple(parts), tmp_path / f"mhd_{split}.pt")
    assert load("mhd", tmp_path).test.target.tolist() == list(range(10))  # type: ignore[union-attr]


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*mhd_train.pt; MHD is .* https://github"):
        load("mhd", tmp_path)
    make(tmp_path, images=torch.rand(10, 1, 28, 28) * 255)
    with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
        load("mhd", tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "mhd_train.pt")
    with pytest.raises(DataError, match="is a dict, not a tuple"):
        load("mhd", tmp_path)
    torch.save(Path("an object"), tmp_path / "mhd_train.pt")
    with pytest.raises(DataError, match="holds more than tensors"):
        load("mhd", tmp_path)
    (tmp_path / "mhd_train.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match="damaged"):
        load("mhd", tmp_path)
