from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrl.data import DataError
from mmrl.data.__main__ import main
from mmrl.data.check import check_file
from mmrl.data.sets import FILES

Arrays = dict[str, np.ndarray[Any, Any]]


def make() -> Arrays:
    rng = np.random.default_rng(0)
    arrays: Arrays = {}
    for split, n in {"train": 30, "test": 12}.items():
        arrays[f"{split}/touch"] = rng.normal(size=(n, 4)).astype(np.float32)
        arrays[f"{split}/gait/values"] = rng.normal(size=(3 * n, 2)).astype(np.float32)
        arrays[f"{split}/gait/offsets"] = 3 * np.arange(n + 1)
        arrays[f"{split}/target"] = np.arange(n) % 3
    return arrays


def warnings(arrays: Arrays, folder: Path) -> list[str]:
    np.savez(folder / "mine.npz", **arrays)  # type: ignore[arg-type]
    return check_file(folder / "mine.npz").warnings


def test_good_data_have_no_warnings(tmp_path: Path) -> None:
    assert warnings(make(), tmp_path) == []


def test_leaks_are_found(tmp_path: Path) -> None:
    arrays = make()
    arrays["test/touch"][4:6] = arrays["train/touch"][7]
    assert warnings(arrays, tmp_path) == [
        "leak: in 2 of 12 samples of test, touch is the same as in a sample of train"
    ]
    arrays["test/gait/values"][12:15] = arrays["train/gait/values"][21:24]
    assert warnings(arrays, tmp_path) == ["leak: 1 samples of test are in train too"]


def test_missing_values_are_no_leak(tmp_path: Path) -> None:
    arrays = make()
    arrays["train/touch"][:3] = arrays["test/touch"][:2, :1] = np.nan
    assert warnings(arrays, tmp_path) == []


def test_what_is_odd_is_named(tmp_path: Path) -> None:
    arrays = make()
    arrays["extra"] = np.zeros(1)
    arrays["train/touch"][:] = 2
    arrays["test/touch"][:] = np.nan
    arrays["test/gait/values"][:3] = np.nan
    arrays["test/target"][0] = 4
    found = warnings(arrays, tmp_path)
    assert found == [
        "these arrays mean nothing and are ignored: ['extra']",
        "train: touch is 2 everywhere",
        "test: 1 samples have no modality at all",
        "test: touch is missing in every sample",
        "test has the classes [4], which train does not have",
        "train has no sample of the classes [3, 4]",
    ]


@pytest.mark.parametrize("name", ["avmnist", "digits"])
def test_the_shipped_sets_do_not_leak(name: str) -> None:
    assert check_file(FILES / f"{name}.npz").warnings == []


def test_the_command_prints_what_it_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    arrays = make()
    arrays["train/touch"][:15] = np.nan
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    assert main(["check", str(tmp_path / "mine.npz")]) == 0
    printed = capsys.readouterr().out
    for text in ("touch", "3×2", "50.0% missing", "3 … 3 steps", "3 classes", "No split valid"):
        assert text in printed
    arrays["test/touch"][0] = arrays["train/touch"][20]
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    assert main(["check", str(tmp_path / "mine.npz")]) == 0
    assert main(["check", "--strict", str(tmp_path / "mine.npz")]) == 1
    assert "! leak: in 1 of 12" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "text"), [(lambda x: x > 0, "3 labels"), (lambda x: x / 2, "-0.5 … 0.5")]
)
def test_labels_and_numbers_are_shown(
    target: Callable[[Any], Any], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = make()
    for split, n in {"train": 30, "test": 12}.items():
        arrays[f"{split}/target"] = target(np.arange(n)[:, None] % 3 - np.array([1, 1, 9]))
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    assert main(["check", str(tmp_path / "mine.npz")]) == 0
    printed = capsys.readouterr().out
    assert text in printed
    labels = text == "3 labels"
    assert ("target 2 is the same in all of train" in printed) == labels
    assert ("none of them" in printed) == labels
    assert ("by the seed, stratified by label." in printed) == labels


def test_classes_that_are_stored_as_numbers_are_noticed(tmp_path: Path) -> None:
    arrays = make()
    for split, n in {"train": 30, "test": 12}.items():
        arrays[f"{split}/target"] = (np.arange(n) % 3).astype(np.float32)
    assert warnings(arrays, tmp_path) == [
        "targets are whole numbers: if they are classes, store them as integers"
    ]


def test_the_command_fails_on_what_cannot_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "none.npz")]) == 1
    assert "there is no file or folder" in capsys.readouterr().err


def test_what_would_not_load_or_teach_is_said(tmp_path: Path) -> None:
    arrays = make() | {"target_names": np.array(["a", "b"])}
    with pytest.raises(DataError, match="has class 2, but there are only 2 class names"):
        warnings(arrays, tmp_path)
    arrays = make()
    for split in ("train", "test"):
        arrays[f"{split}/target"][:] = 0
    assert warnings(arrays, tmp_path) == ["there is only one class, from which nothing is learned"]


def test_samples_without_anything_are_no_leak(tmp_path: Path) -> None:
    arrays = make()
    for split in ("train", "test"):
        arrays[f"{split}/touch"][:2] = np.nan
        arrays[f"{split}/gait/values"][:6] = np.nan
    assert [w for w in warnings(arrays, tmp_path) if "leak" in w] == []


def test_names_with_brackets_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = np.array(["[/x]", "[red]", "c"])
    np.savez(tmp_path / "mine.npz", **make(), target_names=names)  # type: ignore[arg-type]
    assert main(["check", str(tmp_path / "mine.npz")]) == 0
    printed = capsys.readouterr().out
    assert "[/x]" in printed
    assert "[red]" in printed
    assert main(["check", str(tmp_path / "none[x].npz")]) == 1
    assert "none[x].npz" in capsys.readouterr().err


def test_gaps_are_counted_and_infinite_numbers_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = make()
    arrays["train/touch"][:15, 1] = np.nan
    np.savez(tmp_path / "gaps.npz", **arrays)  # type: ignore[arg-type]
    assert main(["check", str(tmp_path / "gaps.npz"), "--strict"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "gaps: fill" in told
    arrays["train/touch"][:6, 2] = -np.inf
    arrays["test/gait/values"][4, 0] = 3e38
    first, second = warnings(arrays, tmp_path)
    assert first.startswith("train: touch has infinite numbers (or beyond 1e30) in 20.0% of the")
    assert "17.5% of its numbers count as missing" in first
    assert second.startswith("test: gait has infinite numbers (or beyond 1e30) in 8.3% of the")


def test_no_complete_sample_is_said(tmp_path: Path) -> None:
    arrays = make()
    for split in ("train", "test"):
        arrays[f"{split}/touch"][::2] = np.nan
        for start in range(3, len(arrays[f"{split}/gait/values"]), 6):
            arrays[f"{split}/gait/values"][start : start + 3] = np.nan
    (found,) = warnings(arrays, tmp_path)
    assert found.startswith("no sample of train has every modality")


@pytest.mark.parametrize("spread", [0.0, 1e-5])
def test_what_moves_in_the_test_only_is_named(tmp_path: Path, spread: float) -> None:
    arrays = make()
    rng = np.random.default_rng(1)
    arrays["train/touch"][:, 1:3] = 0.3 + spread * rng.normal(size=(30, 2))
    arrays["test/touch"][:, 1:3] = 0.3 + 0.1 * rng.normal(size=(12, 2))
    (found,) = warnings(arrays, tmp_path)
    assert found.startswith("2 of 4 numbers of touch hardly move in train and do in test")
    assert found.endswith(": 1, 2")


def test_longer_sequences_in_the_test_are_counted(tmp_path: Path) -> None:
    arrays = make()
    arrays["test/gait/offsets"] = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 36])
    (found,) = warnings(arrays, tmp_path)
    assert found.startswith("2 of 12 sequences of gait in test are longer than 3 steps")


def test_ids_are_not_taken_for_measurements_silently(tmp_path: Path) -> None:
    arrays = make()
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        shape = (len(arrays[f"{split}/target"]), 7)
        arrays[f"{split}/text"] = rng.integers(0, 30522, shape)
    (found,) = warnings(arrays, tmp_path)
    assert "text holds whole numbers from" in found
    assert "ids of tokens" in found


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda classes: np.eye(3, dtype=np.int64)[classes], "exactly one label: if these are"),
        (lambda classes: 40.0 * classes + 0.1, "targets are far from standard"),
        (lambda classes: 1e-3 * (classes - 1.0), "targets are far from standard"),
    ],
)
def test_odd_targets_are_named(
    target: Callable[[Any], np.ndarray[Any, Any]], message: str, tmp_path: Path
) -> None:
    arrays = make()
    for split in ("train", "test"):
        arrays[f"{split}/target"] = target(arrays[f"{split}/target"])
    (found,) = warnings(arrays, tmp_path)
    assert message in found


def test_a_test_of_one_class_is_named(tmp_path: Path) -> None:
    arrays = make()
    arrays["test/target"][:] = 1
    (found,) = warnings(arrays, tmp_path)
    assert found == "test has samples of the class 1 only: whoever always says that is right"
