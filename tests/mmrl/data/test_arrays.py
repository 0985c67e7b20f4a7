from pathlib import Path

import numpy as np
import pytest

from mmrl.data.arrays import ArrayData, BitImages
from mmrl.data.sequences import Sequences
from mmrl.modality import Modality

MODALITIES = (Modality("image", (2, 9, 7), "image"), Modality("sound", (3,), "vector"))


def binary(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 2, (samples, 2, 9, 7)) * 255).astype(np.uint8)


def data(samples: int = 20, seed: int = 0) -> ArrayData:
    rng = np.random.default_rng(seed)
    values = {"image": binary(samples, seed), "sound": rng.normal(size=(samples, 3))}
    return ArrayData(values, MODALITIES, target=rng.normal(size=(samples, 2)))


def test_two_valued_images_take_a_bit_per_pixel_and_come_back() -> None:
    images, made = binary(20), data().packed()
    column = made.values["image"]
    assert isinstance(column, BitImages)
    assert column.nbytes == 20 * 16  # 126 pixels in 16 bytes
    rows = np.array([3, 3, 19, 0])
    assert np.array_equal(made.batch(rows).values["image"].numpy(), images[rows])
    assert np.array_equal(column[:], images)


def test_grey_images_stay_bytes() -> None:
    images = binary(4)
    images[0, 0, 0, 0] = 128
    made = ArrayData({"image": images}, MODALITIES[:1]).packed()
    assert isinstance(made.values["image"], np.ndarray)
    assert np.array_equal(made.batch(np.arange(4)).values["image"].numpy(), images)


def test_readings_are_kept_in_single_precision() -> None:
    assert data().batch(np.arange(2)).values["sound"].numpy().dtype == np.float32


def test_offsets_that_single_precision_cannot_hold_stay_double() -> None:
    """Map coordinates: 5.5e6 with a spread of decimetres, as floats and as whole millimetres."""
    rng = np.random.default_rng(0)
    metres = 5.5e6 + 0.1 * rng.normal(size=(300, 3))
    for values in (metres, (metres * 1000).astype(np.int64)):
        made = ArrayData({"sound": values}, MODALITIES[1:])
        kept = made.subset(np.array([3])).batch(np.arange(1)).values["sound"]
        assert np.array_equal(kept.numpy()[0], values[3])


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.uint64, np.int16, ">f4", ">f8"])
def test_numbers_of_any_type_become_floats(dtype: str) -> None:
    values = np.arange(12).reshape(4, 3).astype(dtype)
    batch = ArrayData({"sound": values}, MODALITIES[1:]).batch(np.arange(4)).values["sound"]
    assert batch.numpy().dtype == np.float32
    assert np.array_equal(batch.numpy(), np.arange(12).reshape(4, 3))


@pytest.mark.parametrize(
    ("partial", "there"),
    [("missing", [True, False, False, True]), ("fill", [True, True, False, True])],
)
def test_numbers_without_a_measurement_are_missing(partial: str, there: list[bool]) -> None:
    sound = np.zeros((4, 3))
    sound[1, 0], sound[2] = np.nan, [np.inf, -np.inf, 3e38]
    made = ArrayData({"sound": sound}, [Modality("sound", (3,), "vector", partial=partial)])
    assert made.available[:, 0].tolist() == there
    (readings,) = made.readings("sound")
    assert readings.isnan().any(dim=1).tolist() == [False, partial == "fill", False][: sum(there)]


@pytest.mark.parametrize(
    ("partial", "there"),
    [("missing", [True, False, False, False, True]), ("fill", [True, True, False, False, True])],
)
def test_steps_without_a_measurement_are_missing(partial: str, there: list[bool]) -> None:
    """Of five sequences one lacks a number, one has none, one has no step, one is cut before."""
    steps = np.ones((9, 2), np.float32)
    steps[3, 1] = steps[4:6] = steps[8] = np.nan
    gait = Sequences(steps, np.array([0, 2, 4, 6, 6, 9]), steps=2)
    made = ArrayData({"gait": gait}, [Modality("gait", (2, 2), "sequence", partial=partial)])
    assert made.available[:, 0].tolist() == there


@pytest.mark.parametrize("packed", [False, True])
def test_saving_and_loading_is_the_identity(tmp_path: Path, packed: bool) -> None:
    made = data().packed() if packed else data()
    made.available[2, 1] = False
    made.save(tmp_path / "data.npz")
    loaded = ArrayData.load(tmp_path / "data.npz")
    assert loaded.modalities == MODALITIES
    assert np.array_equal(loaded.available, made.available)
    assert loaded.target is not None
    assert made.target is not None
    assert np.array_equal(loaded.target, made.target)
    for name in ("image", "sound"):
        assert np.array_equal(loaded.values[name][:], made.values[name][:])


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x03\x04 cut"])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or no npz file"):
        ArrayData.load(path)


def test_a_pickle_inside_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, modalities=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="damaged or no npz file"):
        ArrayData.load(path)


@pytest.mark.parametrize("packed", [(False, False), (True, True), (False, True)])
def test_parts_and_subsets(packed: tuple[bool, bool]) -> None:
    parts = [data(5, seed=1), data(6, seed=2)]
    parts = [part.packed() if pack else part for part, pack in zip(parts, packed, strict=True)]
    whole = ArrayData.concatenate(parts)
    assert len(whole) == 11
    part = whole.subset(np.arange(5, 11))
    for name in ("image", "sound"):
        assert np.array_equal(part.values[name][:], parts[1].values[name][:])
    assert part.target is not None
    assert np.array_equal(part.target, parts[1].target)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="all of the same modalities"):
        ArrayData.concatenate([whole, ArrayData({"image": binary(3)}, MODALITIES[:1])])


def test_arrays_that_do_not_fit_are_refused() -> None:
    images, sound = binary(4), np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"values are given for \['image'\], the modalities are"):
        ArrayData({"image": images}, MODALITIES)
    with pytest.raises(ValueError, match=r"'sound' has values of shape \(4, 2\)"):
        ArrayData({"image": images, "sound": sound[:, :2]}, MODALITIES)
    with pytest.raises(ValueError, match="differ in samples"):
        ArrayData({"image": images[:3], "sound": sound}, MODALITIES)
    with pytest.raises(ValueError, match=r"available has shape \(3, 2\)"):
        ArrayData({"image": images, "sound": sound}, MODALITIES, np.ones((3, 2), bool))
    with pytest.raises(ValueError, match="4 samples have 3 targets"):
        ArrayData({"image": images, "sound": sound}, MODALITIES, target=np.zeros(3))


def test_copies_are_not_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.zeros((6, 3))
    sound[1] = np.nan
    images = binary(6)
    made = ArrayData({"image": images, "sound": sound}, MODALITIES, target=np.arange(6)).packed()
    monkeypatch.setattr(ArrayData, "_there", None)
    mask = np.ones((6, 2), bool)
    mask[0] = False
    part = made.masked(mask).subset(np.array([0, 1, 5]))
    assert part.available.tolist() == [[False, False], [True, False], [True, True]]
    assert isinstance(part.values["image"], BitImages)
    assert np.array_equal(part.values["image"][:], images[[0, 1, 5]])
    both = ArrayData.concatenate([part, made])
    assert both.available[:, 1].tolist() == [False, False, True, True, False, *[True] * 4]
    assert len(made.subset(np.array([], np.intp))) == 0
    other = made.seen_as([MODALITIES[0], Modality("sound", (3,), "label")])
    assert other.modalities[1].kind == "label"
    assert other.batch(np.arange(6)).available.tolist() == made.available.tolist()
