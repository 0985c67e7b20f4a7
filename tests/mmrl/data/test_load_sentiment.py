import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrl.data import DataError, load

SIZES = {"train": 12, "valid": 5, "test": 7}


def mmsa(aligned: bool = True, audio: int = 5, vision: int = 20) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    splits = {}
    for split, n in SIZES.items():
        steps = (50, 50) if aligned else (500, 375)
        label = np.round(rng.uniform(-3, 3, n), 1).astype(np.float32)
        splits[split] = {
            "raw_text": np.array([f"text {i}" for i in range(n)]),
            "id": [f"video$_${i}" for i in range(n)],
            "text": rng.normal(size=(n, 50, 768)).astype(np.float32),
            "text_bert": rng.integers(0, 9, (n, 3, 50)).astype(np.float32),
            "audio": rng.normal(size=(n, steps[0], audio)),
            "vision": rng.normal(size=(n, steps[1], vision)),
            "annotations": np.array(["Neutral"] * n, dtype=object),
            "classification_labels": rng.integers(0, 3, n),
            "regression_labels": label,
        }
        if not aligned:
            splits[split]["audio_lengths"] = [steps[0]] * n
            splits[split]["vision_lengths"] = [steps[1]] * n
    return splits


def mult(labels: tuple[int, ...] = (1, 1)) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(1)
    return {
        split: {
            "text": rng.normal(size=(n, 50, 300)),
            "audio": rng.normal(size=(n, 50, 74)),
            "vision": rng.normal(size=(n, 50, 35)),
            "labels": rng.normal(size=(n, *labels)).astype(np.float32),
            "id": np.array([[f"v{i}", "0", "1"] for i in range(n)], dtype=object),
        }
        for split, n in SIZES.items()
    }


def iemocap() -> dict[str, dict[str, Any]]:
    content = mult((4, 2))
    rng = np.random.default_rng(2)
    for split, n in SIZES.items():
        present = np.eye(4, dtype=int)[rng.integers(0, 4, n)]
        present[0] = [1, 0, 0, 1]
        content[split]["labels"] = np.stack([1 - present, present], axis=-1)
    return content


def save(content: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


@pytest.mark.parametrize("aligned", [True, False])
def test_mmsas_layout(tmp_path: Path, aligned: bool) -> None:
    content = mmsa(aligned)
    name = "aligned_50.pkl" if aligned else "unaligned_50.pkl"
    save(content, tmp_path / "MOSI" / "Processed" / name)
    data = load("mosi", tmp_path, aligned=aligned)
    assert {m.name: m.shape for m in data.modalities} == {
        "text": (50, 768),
        "audio": (50 if aligned else 500, 5),
        "vision": (50 if aligned else 375, 20),
    }
    assert {m.kind for m in data.modalities} == {"sequence"}
    assert {split: len(data[split]) for split in SIZES} == SIZES
    assert data.task == "numbers"
    assert data.target_names == ("sentiment",)
    for split in SIZES:
        np.testing.assert_array_equal(
            data[split].target[:, 0],  # type: ignore[index]
            content[split]["regression_labels"],
        )
        np.testing.assert_allclose(data[split].values["audio"][:], content[split]["audio"], 1e-6)


def test_what_could_not_be_computed_is_zero_as_in_the_papers(tmp_path: Path) -> None:
    content = mmsa()
    content["train"]["audio"][2, 3, 1] = -np.inf
    content["train"]["vision"][4, 0, 0] = np.nan
    data = load("mosi", save(content, tmp_path / "mine.pkl"))
    assert data.train.available[2].all()
    assert data.train.values["audio"][np.array([2])][0, 3, 1] == 0
    assert data.train.available[4].all()  # all but one number of it are there


def test_mults_layout(tmp_path: Path) -> None:
    content = mult()
    save(content, tmp_path / "mosei_senti_data.pkl")
    data = load("mosei", tmp_path)
    assert data.modalities[0].shape == (50, 300)
    assert data.test.target is not None
    np.testing.assert_allclose(data.test.target[:, 0], content["test"]["labels"][:, 0, 0])


def test_iemocap_has_four_labels_or_classes(tmp_path: Path) -> None:
    content = iemocap()
    save(content, tmp_path / "iemocap_data.pkl")
    data = load("iemocap", tmp_path)
    assert data.task == "labels"
    assert data.target_names == ("neutral", "happy", "sad", "angry")
    assert data.train.target is not None
    assert data.train.target[0].tolist() == [True, False, False, True]
    single = load("iemocap", tmp_path, single=True)
    assert single.task == "classes"
    assert single.train.target is not None
    assert len(single.train) == SIZES["train"] - 1
    expected = content["train"]["labels"][1:, :, 1].argmax(axis=1)
    np.testing.assert_array_equal(single.train.target, expected)
    np.testing.assert_allclose(
        single.train.values["text"][:], content["train"]["text"][1:], rtol=1e-6
    )


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"expected aligned_50.pkl or mosi_data.pkl: .*text, audio.*MMSA"
    ):
        load("mosi", tmp_path)
    with pytest.raises(DataError, match=r"must be a dict of train, valid, test, it is \['train'\]"):
        load("mosi", save({"train": {}}, tmp_path / "x.pkl"))
    content = mmsa()
    del content["test"]["vision"]
    with pytest.raises(DataError, match=r"split 'test' has no 'vision'; it holds \['annotations'"):
        load("mosi", save(content, tmp_path / "x.pkl"))
    content = mmsa()
    content["test"]["audio"] = np.zeros((3, 50, 5))
    with pytest.raises(DataError, match="split 'test': modalities differ in samples"):
        load("mosi", save(content, tmp_path / "x.pkl"))
    content["test"]["audio"] = np.zeros((7, 5))
    with pytest.raises(DataError, match=r"\(samples, steps, features\), got float64"):
        load("mosi", save(content, tmp_path / "x.pkl"))
    with pytest.raises(DataError, match=r"labels must be \(samples, 4, 2\), got \(12, 1, 1\)"):
        load("iemocap", save(mult(), tmp_path / "x.pkl"))
