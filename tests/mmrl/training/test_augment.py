import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from mmrl.data.arrays import ArrayData
from mmrl.modality import Batch, Modality
from mmrl.training.augment import Augment, Augmentation

CAMERA = Modality("camera", (3, 24, 32), "image")
SOUND = Modality("sound", (1, 40, 5), "sound")
GAIT = Modality("gait", (40, 3), "sequence")
JOINTS = Modality("joints", (4,), "vector")


def some(**settings: float) -> Augmentation:
    return Augmentation(**{name: float(value) for name, value in settings.items()})


def batch(modality: Modality, values: torch.Tensor) -> Batch:
    return Batch({modality.name: values}, torch.ones(len(values), 1, dtype=torch.bool))


def vary(modality: Modality, values: torch.Tensor, **settings: float) -> torch.Tensor:
    torch.manual_seed(0)
    augment = Augment({modality.name: some(**settings)}, [modality])
    return augment(batch(modality, values)).values[modality.name]


def dot(rows: int, columns: int, row: int, column: int, samples: int = 200) -> torch.Tensor:
    """Images of one blurred point."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    image = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 8.0)
    return image.expand(samples, 1, rows, columns)


def centres(images: torch.Tensor, about: tuple[int, int]) -> NDArray[np.float64]:
    """Centre of mass (row, column) of each image, from a point."""
    found = [ndimage.center_of_mass(image) for image in images[:, 0].numpy()]
    return np.array(found).reshape(-1, 2) - np.array(about, np.float64)


def test_nothing_chosen_changes_nothing() -> None:
    values = torch.rand(5, 3, 24, 32)
    assert torch.equal(vary(CAMERA, values), values)


def test_other_modalities_availability_and_targets_stay() -> None:
    rows = Batch(
        {"camera": torch.rand(3, 3, 24, 32), "joints": torch.rand(3, 4)},
        torch.tensor([[True, False], [True, True], [False, True]]),
        torch.tensor([0, 1, 2]),
    )
    varied = Augment({"camera": some(rotate=20)}, [CAMERA, JOINTS])(rows)
    assert torch.equal(varied.values["joints"], rows.values["joints"])
    assert torch.equal(varied.available, rows.available)
    assert varied.target is rows.target
    assert not torch.equal(varied.values["camera"], rows.values["camera"])


def test_bytes_become_shares_of_their_range() -> None:
    values = torch.full((2, 3, 24, 32), 51, dtype=torch.uint8)
    torch.testing.assert_close(vary(CAMERA, values, rotate=30), torch.full((2, 3, 24, 32), 0.2))


def test_shift_moves_an_image_by_a_share_of_its_sides() -> None:
    camera = Modality("camera", (1, 60, 80), "image")
    found = centres(vary(camera, dot(60, 80, 30, 40), shift=0.1), about=(30, 40))
    assert np.abs(found).max(axis=0) == pytest.approx([6, 8], abs=0.3)
    assert abs(found.mean(axis=0)) == pytest.approx([0, 0], abs=1)
    assert abs(np.asarray(np.corrcoef(found.T))[0, 1]) < 0.2  # rows and columns move on their own


def test_rotation_turns_about_the_centre_by_angles_of_pixels() -> None:
    """Also where the sides differ: distances to the centre stay."""
    camera = Modality("camera", (1, 61, 101), "image")
    found = centres(vary(camera, dot(61, 101, 30, 75), rotate=40), about=(30, 50))
    assert np.hypot(*found.T) == pytest.approx(25, abs=0.3)
    angles = np.degrees(np.arctan2(found[:, 0], found[:, 1]))
    assert angles.min() == pytest.approx(-40, abs=1.5)
    assert angles.max() == pytest.approx(40, abs=1.5)


def test_zoom_scales_distances_to_the_centre() -> None:
    camera = Modality("camera", (1, 61, 101), "image")
    found = centres(vary(camera, dot(61, 101, 42, 66), zoom=0.25), about=(30, 50))
    factors = found / [12, 16]
    assert factors[:, 0] == pytest.approx(factors[:, 1], abs=0.02)
    assert factors.min() == pytest.approx(0.75, abs=0.02)
    assert factors.max() == pytest.approx(1.25, abs=0.02)


def test_shear_slants_columns_and_leaves_rows_in_place() -> None:
    camera = Modality("camera", (1, 61, 101), "image")
    found = centres(vary(camera, dot(61, 101, 45, 50), shear=30), about=(30, 50))
    assert found[:, 0] == pytest.approx(15, abs=0.3)
    assert np.abs(found[:, 1]).max() == pytest.approx(15 * np.tan(np.pi / 6), abs=0.5)


@pytest.mark.parametrize("shape", [(24, 32), (3, 24, 32), (24, 32, 3)])
def test_every_layout_of_an_image_moves_alike(shape: tuple[int, ...]) -> None:
    plain = torch.rand(4, 24, 32)
    axis = shape.index(3) + 1 if 3 in shape else None
    values = plain if axis is None else torch.stack([plain] * 3, dim=axis)
    varied = vary(Modality("camera", shape, "image"), values, rotate=20, shift=0.1)
    expected = vary(Modality("camera", (24, 32), "image"), plain, rotate=20, shift=0.1)
    assert varied.shape == values.shape
    torch.testing.assert_close(varied if axis is None else varied.select(axis, 1), expected)


@pytest.mark.parametrize("modality", [SOUND, GAIT])
def test_time_moves_and_what_stands_beside_it_does_not_mix(modality: Modality) -> None:
    """Values that rise in time and differ by feature: a shift in time adds the same everywhere."""
    time = torch.arange(40.0)[:, None] + 1000 * torch.arange(float(modality.shape[-1]))
    values = time.expand(100, *modality.shape)
    moved = vary(modality, values, shift=0.1).reshape(100, 40, -1)
    step = moved - values.reshape(100, 40, -1)
    inner = step[:, 5:-5]
    torch.testing.assert_close(inner, inner[:, :1, :1].expand_as(inner), atol=0.02, rtol=0)
    assert float(inner.abs().max()) == pytest.approx(4, abs=0.2)
    # The last reading is repeated where the shifted course has ended.
    torch.testing.assert_close(moved.max(), values.max())


def test_gain_scales_a_whole_reading() -> None:
    values = torch.rand(200, 4) + 1
    factors = vary(JOINTS, values, gain=0.3) / values
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert float(factors.min()) == pytest.approx(0.7, abs=0.01)
    assert float(factors.max()) == pytest.approx(1.3, abs=0.01)


def test_noise_is_measured_in_each_features_own_deviation() -> None:
    rng = np.random.default_rng(0)
    unit = np.array([0.01, 1, 50, 3])
    values = (rng.normal(size=(4000, 4)) * unit).astype(np.float32)
    train = ArrayData({"joints": values}, [JOINTS])
    augment = Augment({"joints": some(noise=0.5)}, [JOINTS])
    augment.measure(train)
    torch.manual_seed(0)
    rows = train.batch(np.arange(4000))
    added = (augment(rows).values["joints"] - rows.values["joints"]).numpy()
    assert added.std(axis=0) == pytest.approx(0.5 * unit, rel=0.06)


def test_missing_values_do_not_count_in_the_unit_of_noise() -> None:
    values = np.array([[0.0], [2.0], [1e6]], np.float32)
    available = np.array([[True], [True], [False]])
    augment = Augment({"x": some(noise=1)}, [x := Modality("x", (1,), "vector")])
    augment.measure(ArrayData({"x": values}, [x], available))
    assert float(augment.scales["x"].std) == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radar": some(noise=1)}, r"\['radar'\]; the modalities are \['camera', 'joints'"),
        ({"joints": some(rotate=5)}, "rotate does not fit .* vector, .* by gain, noise"),
        ({"gait": some(shear=5)}, "augment.gait: shear does not fit"),
    ],
)
def test_refuses_what_does_not_fit(settings: dict[str, Augmentation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(settings, [CAMERA, JOINTS, GAIT])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zoom": 1.0}, r"zoom must lie in \[0, 1\), got 1.0"),
        ({"shift": -0.1}, "shift must"),
        ({"rotate": 200.0}, "rotate must lie"),
        ({"shear": 90.0}, "shear must"),
        ({"noise": float("nan")}, "noise must"),
    ],
)
def test_refuses_values_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)
