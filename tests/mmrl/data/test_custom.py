from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrl.data import ArrayData, DataError, Sequences, from_arrays, load
from mmrl.data.custom import load_file

Arrays = dict[str, np.ndarray[Any, Any]]


def make(samples: int = 40, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for split, n in {"train": samples, "test": 10}.items():
        lengths = rng.integers(1, 9, n)
        lengths[0] = 9
        arrays[f"{split}/camera"] = rng.integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)
        arrays[f"{split}/spectrum"] = rng.normal(size=(n, 1, 8, 4))
        arrays[f"{split}/imu/values"] = rng.normal(size=(lengths.sum(), 6)).astype(np.float32)
        arrays[f"{split}/imu/offsets"] = np.concatenate([[0], np.cumsum(lengths)])
        arrays[f"{split}/weight"] = rng.normal(size=n)
        arrays[f"{split}/target"] = np.arange(n, dtype=np.uint8) % 4
    arrays["kinds/spectrum"] = np.array("sound")
    return arrays


def save(arrays: Arrays, path: Path) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def test_a_file_becomes_a_data_set(tmp_path: Path) -> None:
    arrays = make()
    data = load("file", save(arrays, tmp_path / "mine.npz"), valid_share=0.25)
    assert data.name == "mine"
    assert {m.name: (m.kind, m.shape) for m in data.modalities} == {
        "camera": ("image", (3, 16, 16)),
        "spectrum": ("sound", (1, 8, 4)),
        "imu": ("sequence", (9, 6)),
        "weight": ("vector", (1,)),
    }
    assert (len(data.train), len(data.valid), len(data.test)) == (32, 8, 10)
    assert data.target_names == ("0", "1", "2", "3")
    batch = data.test.batch(np.array([1]))
    start, end = arrays["test/imu/offsets"][1:3]
    expected = np.zeros((9, 6), np.float32)
    expected[: end - start] = arrays["test/imu/values"][start:end]
    np.testing.assert_array_equal(batch.values["imu"][0], expected)
    np.testing.assert_array_equal(batch.values["camera"][0], arrays["test/camera"][1])
    assert batch.values["weight"].shape == (1, 1)


def test_arrays_in_memory_are_the_same(tmp_path: Path) -> None:
    arrays = make()
    arrays["train/weight"][3] = np.nan
    options: dict[str, Any] = {"steps": {"imu": 5}, "valid_share": 0.25, "seed": 2}
    loaded = load_file(save(arrays, tmp_path / "mine.npz"), **options)
    made = from_arrays(arrays, name="mine", **options)
    assert (made.name, made.modalities, made.target_names) == (
        loaded.name,
        loaded.modalities,
        loaded.target_names,
    )
    for split in ("train", "valid", "test"):
        np.testing.assert_array_equal(made[split].available, loaded[split].available)
        rows = np.arange(len(made[split]))
        for name, values in made[split].batch(rows).values.items():
            np.testing.assert_array_equal(values, loaded[split].batch(rows).values[name])
    with pytest.raises(DataError, match="the splits train and test are needed"):
        from_arrays({"camera": arrays["train/camera"]})


def test_no_sample_is_lost_or_doubled_by_the_split(tmp_path: Path) -> None:
    arrays = make()
    data = load_file(save(arrays, tmp_path / "mine.npz"), seed=3)
    both = [
        *data.train.values["weight"][:].ravel().tolist(),
        *data.valid.values["weight"][:].ravel().tolist(),
    ]
    np.testing.assert_allclose(sorted(both), sorted(arrays["train/weight"]), rtol=1e-6)


def test_a_folder_of_npy_files_is_the_same(tmp_path: Path) -> None:
    arrays = make()
    for name, array in arrays.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "mine" / f"{name}.npy", array)
    first = load_file(tmp_path / "mine")
    second = load_file(save(arrays, tmp_path / "mine.npz"))
    assert sorted(m.name for m in first.modalities) == sorted(m.name for m in second.modalities)
    for modality in second.modalities:
        np.testing.assert_array_equal(
            first.valid.values[modality.name][:], second.valid.values[modality.name][:]
        )


def test_a_given_validation_split_is_kept(tmp_path: Path) -> None:
    arrays = make()
    arrays |= {k.replace("test/", "valid/"): v for k, v in arrays.items() if k.startswith("test/")}
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    assert (len(data.train), len(data.valid)) == (40, 10)


def test_nan_and_the_mask_are_missing(tmp_path: Path) -> None:
    arrays = make()
    arrays["test/spectrum"][3] = np.nan
    arrays["test/spectrum"][4, 0, 2, 1] = np.nan
    arrays["partial/imu"] = np.array("missing")
    arrays["test/imu/values"][0, 0] = np.inf
    arrays["test/available"] = np.ones((10, 4), np.uint8)
    arrays["test/available"][5, 0] = 0
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    expected = np.ones((10, 4), bool)
    expected[3, 1] = expected[0, 2] = expected[5, 0] = False
    np.testing.assert_array_equal(data.test.available, expected)


def test_a_mask_of_numbers_silences_them(tmp_path: Path) -> None:
    """What stands under it, noise or nothing, is the same."""
    loaded = []
    for noise in (0.0, 1e3):
        arrays, rng = make(), np.random.default_rng(0)
        for split in ("train", "test"):
            values = arrays[f"{split}/imu/values"]
            present = np.less(rng.random(values.shape), 0.7)
            values[~present] += noise
            arrays[f"{split}/imu/present"] = np.asarray(present, np.uint8)
        path = save(arrays, tmp_path / f"{noise}.npz")
        loaded.append(load_file(path, partial={"imu": "indicate"}))
    steps, features = loaded[0].modalities[2].shape
    assert loaded[0].modalities[2].input_shape == (steps, 2 * features)
    for split in ("train", "test"):
        batch, other = (data[split].batch(np.arange(10)).values["imu"] for data in loaded)
        assert torch.equal(batch.isnan(), other.isnan())
        assert torch.equal(batch.nan_to_num(), other.nan_to_num())
        assert bool(batch.isnan().any())


def test_modalities_can_be_ordered(tmp_path: Path) -> None:
    arrays = make()
    arrays["modalities"] = np.array(["weight", "imu", "spectrum", "camera"])
    arrays["target_names"] = np.array(["a", "b", "c", "d"])
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    assert [m.name for m in data.modalities] == ["weight", "imu", "spectrum", "camera"]
    assert data.target_names == ("a", "b", "c", "d")


def test_what_is_of_one_unit_is_named_by_the_file_or_when_it_is_loaded(tmp_path: Path) -> None:
    arrays = make()
    arrays["shared_scale"] = np.array(["imu"])
    path = save(arrays, tmp_path / "mine.npz")
    for more in ([], ["spectrum"]):
        data = load("file", path, shared_scale=more)
        assert {m.name for m in data.modalities if m.shared_scale} == {"imu", *more}
    data.train.save(tmp_path / "kept.npz")
    assert ArrayData.load(tmp_path / "kept.npz").modalities == data.modalities


def test_sequences_can_be_cut(tmp_path: Path) -> None:
    data = load_file(save(make(), tmp_path / "mine.npz"), steps={"imu": 4})
    assert data.modalities[2].shape == (4, 6)
    assert data.test.batch(np.arange(3)).values["imu"].shape == (3, 4, 6)
    assert isinstance(data.test.values["imu"], Sequences)


def test_sequences_can_be_stretched(tmp_path: Path) -> None:
    arrays = make()
    data = load_file(save(arrays, tmp_path / "mine.npz"), steps={"imu": 4}, resample=True)
    assert data.modalities[2].shape == (4, 6)
    offsets = arrays["test/imu/offsets"]
    stretched = data.test.values["imu"][:]
    np.testing.assert_allclose(stretched[:, 0], arrays["test/imu/values"][offsets[:-1]])
    np.testing.assert_allclose(stretched[:, -1], arrays["test/imu/values"][offsets[1:] - 1])


def test_a_longer_test_sequence_is_cut_to_trainings_length(tmp_path: Path) -> None:
    arrays = make()
    arrays["test/imu/values"] = np.zeros((100, 6), np.float32)
    arrays["test/imu/offsets"] = np.array([0, 91, *range(92, 101)])
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    assert data.test.batch(np.arange(10)).values["imu"].shape == (10, 9, 6)


def test_numbers_are_regression(tmp_path: Path) -> None:
    arrays = make()
    for split, n in {"train": 40, "test": 10}.items():
        arrays[f"{split}/target"] = np.linspace(-3, 3, n)
    arrays["target_names"] = np.array(["sentiment"])
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    assert data.task == "numbers"
    assert data.outputs == 1
    assert data.train.target is not None
    assert data.train.target.shape == (36, 1)
    assert data.target_names == ("sentiment",)


def test_boolean_columns_are_labels(tmp_path: Path) -> None:
    arrays = make()
    for split, n in {"train": 40, "test": 10}.items():
        arrays[f"{split}/target"] = np.arange(n)[:, None] % np.array([2, 3, 4]) == 0
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    assert (data.task, data.outputs) == ("labels", 3)
    target = data.test.batch(np.array([0, 3])).target
    assert target is not None
    assert target.tolist() == [[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_several_columns_of_0_and_1_are_labels(kind: type, tmp_path: Path) -> None:
    arrays = make()
    for split, n in {"train": 40, "test": 10}.items():
        arrays[f"{split}/target"] = (np.arange(n)[:, None] % [2, 3] == 0).astype(kind)
    data = load_file(save(arrays, tmp_path / "mine.npz"))
    assert (data.task, data.outputs) == ("labels", 2)
    assert data.test.target is not None
    assert data.test.target.tolist()[:3] == [[True, True], [False, False], [True, False]]


def changed(**changes: Any) -> Arrays:
    arrays = make()
    for key, value in changes.items():
        name = key.replace("__", "/")
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.asarray(value)
    return arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, r"splits train and test are needed; expected arrays.*found x"),
        (changed(test__camera=None), "'test' has .*, train has"),
        (changed(train__target=None), "train has no targets"),
        (changed(train__imu__offsets=None), "train/imu/values has no train/imu/offsets"),
        (changed(train__imu__offsets=[0, 3]), "train/imu: offsets must rise from 0 to"),
        (changed(train__weight=np.zeros(39)), "'train': modalities differ in samples"),
        (changed(train__target=np.zeros(39, int)), "40 samples have 39 targets"),
        (changed(test__camera=np.zeros((10, 3, 8, 8), np.uint8)), r"expected \(samples, 3, 16, 16"),
        (changed(train__target=np.arange(40) - 1), "count from 0, got -1"),
        (changed(train__target=np.full(40, np.nan)), r"samples \[0, 1, 2, 3, 4\] are NaN"),
        (
            changed(train__target=np.array(["a"] * 40)),
            "must be whole numbers .* or floating, got <U1",
        ),
        (
            changed(train__target=np.full((40, 2), 2)),
            r"must be \(samples,\), labels .*, got whole numbers of shape \(40, 2\)",
        ),
        (changed(train__target=np.zeros((40, 1), int)), r"numbers of shape \(40, 1\)"),
        (changed(train__target=np.zeros((40, 2), int)), "are classes in test and labels in train"),
        (changed(kinds__spectrum="smell"), "has kind 'smell'; known kinds: image"),
        (changed(partial__imu="drop"), "'imu': partial is 'drop'; a sequence can have missing"),
        (changed(train__weight__present=np.ones(39)), "the mask of train/weight, present, must"),
        (
            changed(train__camera__present=np.ones((40, 3, 16, 16), bool)),
            "train/camera holds bytes, which are all there or none",
        ),
        (changed(kinds__radar="sound"), r"given for \['radar'\]; the modalities are"),
        (changed(train__weight=np.array(["a"] * 40)), "train/weight must hold numbers"),
        (changed(train__available=np.full((40, 4), 0.5)), "must be boolean or 0 and 1"),
        (changed(train__available=np.ones((40, 3), bool)), r"shape \(40, 3\), expected \(40, 4\)"),
        (changed(modalities=["camera"]), "'modalities' lists"),
        (changed(shared_scale=["radar"]), r"or partial are given for \['radar'\]"),
        (changed(target_names=["a", "b"]), "has class 3, but there are only 2 class names"),
        (changed(test__target=np.zeros(10)), "targets are numbers in test and classes in train"),
    ],
)
def test_another_layout_is_refused(arrays: Arrays, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_file(save(arrays, tmp_path / "mine.npz"))


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*none.npz; expected arrays"):
        load_file(tmp_path / "none.npz")
    with pytest.raises(DataError, match="holds no npy file"):
        load_file(tmp_path)
    whole = save(make(), tmp_path / "mine.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.npz is damaged"):
        load_file(tmp_path / "cut.npz")
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "objects.npz", **{"train/x": objects})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no npz file of plain arrays"):
        load_file(tmp_path / "objects.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(DataError, match="no npz file of plain arrays"):
        load_file(tmp_path / "single.npy")


def test_options_must_fit(tmp_path: Path) -> None:
    path = save(make(), tmp_path / "mine.npz")
    with pytest.raises(DataError, match=r"must be in \(0, 1\), got 1"):
        load_file(path, valid_share=1.0)
    with pytest.raises(DataError, match="steps are given for weight, whose samples"):
        load_file(path, steps={"weight": 3})
    with pytest.raises(DataError, match=r"given for \['radar'\]"):
        load_file(path, kinds={"radar": "sound"})


def test_numbers_that_are_no_classes_take_no_memory(tmp_path: Path) -> None:
    arrays = make()
    for split in ("train", "test"):
        arrays[f"{split}/target"] = np.arange(len(arrays[f"{split}/target"])) + 10**9
    with pytest.raises(DataError, match=r"class 1000000\d* in .*: classes count from 0 without"):
        load_file(save(arrays, tmp_path / "mine.npz"))
