"""Statistics of inputs, chunk by chunk, against those of all values at once."""

import numpy as np
import pytest
import torch

from mmrl.data import ArrayData, Sequences
from mmrl.modality import Modality
from mmrl.nn.standardize import Standardize


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_chunks_have_the_statistics_of_the_whole(chunk: int) -> None:
    """Number by number: what is missing counts for nothing, and the rest of the sample does."""
    torch.manual_seed(0)
    values = torch.randn(50, 2, 3) * 4 + 1000
    values[:, 0, 0] = 5.0  # never varies
    values[3, 1, 1] = torch.nan
    values[4, 1, 1] = torch.inf
    values[:, 1, 2] = torch.nan  # never there
    scaling = Standardize(Modality("x", (2, 3), "sound"))
    scaling.estimate(values.split(chunk))
    numbers = values.double().numpy()
    numbers[~np.isfinite(numbers)] = np.nan
    numbers[:, 1, 2] = [-1.0, 1.0] * 25  # mean 0 and standard deviation 1: the identity
    std, mean = np.nanstd(numbers, axis=0), np.nanmean(numbers, axis=0)
    std[0, 0] = 1.0
    torch.testing.assert_close(scaling.mean, torch.from_numpy(mean).float())
    torch.testing.assert_close(scaling.std, torch.from_numpy(std).float())


@pytest.mark.parametrize("unit", [1e-12, 1e-7, 1.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_unit_does_not_matter(unit: float, dtype: torch.dtype) -> None:
    """Tesla and nanoampere are no smaller than metres."""
    torch.manual_seed(0)
    values = torch.randn(100, 4, dtype=torch.float64) + 3
    scaling, reference = (Standardize(Modality("x", (4,), "vector")) for _ in range(2))
    scaling.estimate([(values * unit).to(dtype)])
    reference.estimate([values])
    torch.testing.assert_close(
        scaling((values * unit).to(dtype)), reference(values), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_large_offsets_cost_no_signal(dtype: torch.dtype) -> None:
    """Map coordinates in millimetres: 5.5e9 with a spread of a decimetre."""
    torch.manual_seed(0)
    moves = (torch.randn(500, 2, dtype=torch.float64) * 100).round()
    scaling = Standardize(Modality("x", (2,), "vector"))
    scaling.estimate([(moves + 5.5e9).to(dtype)])
    std, mean = torch.std_mean(moves, dim=0, correction=0)
    expected = ((moves - mean) / std).float()
    torch.testing.assert_close(scaling((moves + 5.5e9).to(dtype)), expected, rtol=1e-4, atol=1e-4)


def test_jitter_of_rounding_is_no_signal() -> None:
    ones = torch.ones(100, 1)
    ones[::2] += torch.finfo(torch.float32).eps
    scaling = Standardize(Modality("x", (1,), "vector"))
    scaling.estimate([ones])
    assert scaling.std.tolist() == [1]


@pytest.mark.parametrize(("clip", "seen"), [(10.0, 10.0), (3.0, 3.0), (None, 1e5)])
def test_what_hardly_moved_in_training_is_cut_off(clip: float | None, seen: float) -> None:
    touch = torch.tensor([[-1e-5], [1e-5]])
    scaling = Standardize(Modality("touch", (1,), "vector"), clip)
    scaling.estimate([touch])
    assert scaling(torch.tensor([[1.0], [-1.0]])).flatten().tolist() == pytest.approx([seen, -seen])


def test_nothing_is_cut_off_before_there_are_statistics() -> None:
    scaling = Standardize(Modality("x", (2,), "vector"))
    assert scaling(torch.tensor([[1e4, -1e4]])).tolist() == [[1e4, -1e4]]
    with pytest.raises(ValueError, match="clip must be positive"):
        Standardize(Modality("x", (2,), "vector"), 0.0)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("image", (8, 9)),
        ("image", (16, 16, 3)),
        ("image", (2, 8, 8)),
        ("sound", (2, 8, 4)),
        ("sequence", (5, 3)),
        ("vector", (7,)),
    ],
)
@pytest.mark.parametrize("partial", ["fill", "indicate"])
def test_missing_numbers_are_the_mean(kind: str, shape: tuple[int, ...], partial: str) -> None:
    torch.manual_seed(0)
    modality = Modality("x", shape, kind, partial=partial)
    values = torch.rand(30, *shape) + 2
    scaling = Standardize(modality)
    scaling.estimate([values])
    missing = torch.rand(values.shape) < 0.2
    plain = Standardize(Modality("x", shape, kind))
    plain.estimate([values])
    expected = plain(values).masked_fill(missing, 0.0)
    seen = scaling(values.masked_fill(missing, torch.nan))
    assert tuple(seen.shape[1:]) == modality.input_shape
    if partial == "indicate":
        axis = 0 if modality.channel_axis is None else modality.channel_axis
        seen, flags = (
            seen.unbind(1)
            if modality.channel_axis is None
            else seen.chunk(2, dim=axis if axis < 0 else axis + 1)
        )
        assert torch.equal(flags.bool(), ~missing)
    assert torch.equal(seen, expected)


def test_statistics_of_earlier_releases_are_read() -> None:
    old = {"mean": torch.tensor([1.0]), "std": torch.tensor([0.01])}
    scaling = Standardize(Modality("x", (1,), "vector"))
    scaling.load_state_dict(old)
    assert float(scaling(torch.tensor([[2.0]]))) == pytest.approx(100)


def test_steps_of_a_sequence_are_scaled_alike() -> None:
    """At the start, before anything moves, what differs between samples is no signal."""
    torch.manual_seed(0)
    values = torch.randn(40, 5, 3) * torch.linspace(0, 1, 5)[:, None] + torch.tensor([0.0, 5, 9])
    scaling = Standardize(Modality("gait", (5, 3), "sequence"))
    scaling.estimate(values.split(7))
    std, mean = torch.std_mean(values.double().flatten(0, 1), dim=0, correction=0)
    torch.testing.assert_close(scaling.std, std.float().expand(5, 3))
    torch.testing.assert_close(scaling.mean, mean.float().expand(5, 3))


@pytest.mark.parametrize("kind", ["sequence", "vector"])
def test_numbers_of_one_unit_keep_their_proportions(kind: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(200, 4, 2) * torch.tensor([0.1, 10.0])
    scaling = Standardize(Modality("joints", (4, 2), kind, shared_scale=True))
    scaling.estimate([values])
    spread = scaling(values).std(dim=(0, 1))
    assert float(spread[1] / spread[0]) == pytest.approx(100, rel=0.1)
    assert float(spread.square().mean()) == pytest.approx(1, rel=0.01)
    assert len(scaling.std.unique()) == 1


def test_nothing_to_count_leaves_the_identity() -> None:
    scaling = Standardize(Modality("x", (2,), "vector"))
    scaling.estimate([torch.full((4, 2), torch.nan)])
    assert scaling.mean.tolist() == [0, 0]
    assert scaling.std.tolist() == [1, 1]


def test_padding_does_not_count() -> None:
    """One sequence is far longer: its last steps, padding elsewhere, have the scale of all."""
    rng = np.random.default_rng(0)
    lengths = np.append(rng.integers(20, 60, 200), 90)
    steps = rng.normal(5.0, 2.0, (lengths.sum(), 3)).astype(np.float32)
    modality = Modality("gait", (80, 3), "sequence")
    gait = Sequences(steps, np.append(0, lengths.cumsum()), steps=80)
    available = np.ones((201, 1), np.bool_)
    available[0] = False
    scaling = Standardize(modality)
    scaling.estimate(ArrayData({"gait": gait}, [modality], available).readings("gait"))
    counted = torch.from_numpy(steps[lengths[0] : -10]).double()
    expected = torch.std_mean(counted, dim=0, correction=0)
    for found, wanted in zip((scaling.std, scaling.mean), expected, strict=True):
        torch.testing.assert_close(found, wanted.float().expand(80, 3))


def test_readings_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected values of shape \(samples, \*\(4, 3\)\)"):
        Standardize(Modality("x", (4, 3), "sequence")).estimate([torch.zeros(5, 4)])


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("image", (1, 4, 4)), ("sound", (1, 4, 4)), ("sequence", (4, 4)), ("vector", (4,))],
)
def test_bytes_mean_the_same_from_a_data_set_and_from_an_environment(
    kind: str, shape: tuple[int, ...]
) -> None:
    """Data sets hand out numbers as floats, environments in the type of their space."""
    modality = Modality("x", shape, kind)
    values = np.random.default_rng(0).integers(0, 81, (20, *shape)).astype(np.uint8)
    data = ArrayData({"x": values}, [modality])
    scaling = Standardize(modality)
    scaling.estimate(data.readings("x"))
    batch = data.batch(np.arange(20)).values["x"]
    torch.testing.assert_close(scaling(torch.from_numpy(values)), scaling(batch))


@pytest.mark.parametrize("shape", [(24, 32), (1, 24, 32), (24, 32, 1)])
def test_pixels_that_are_no_bytes_share_one_scale(shape: tuple[int, ...]) -> None:
    """Depth in millimetres arrives in the range that convolutions are made for."""
    generator = torch.Generator().manual_seed(0)
    depth = torch.randint(0, 65536, (50, *shape), generator=generator, dtype=torch.int32)
    scaling = Standardize(Modality("depth", shape, "image"))
    scaling.estimate([depth[:20].to(torch.uint16), depth[20:].to(torch.uint16)])
    scaled = scaling(depth.float())
    assert scaled.shape == depth.shape
    assert abs(float(scaled.mean())) < 1e-3
    assert float(scaled.std()) == pytest.approx(1.0, abs=1e-3)
    first, second = depth.double()[0].flatten()[:2]
    difference = (scaled[0].flatten()[0] - scaled[0].flatten()[1]).double()
    assert float(difference * depth.double().std()) == pytest.approx(
        float(first - second), rel=1e-3
    )


def test_bytes_of_images_are_never_centred() -> None:
    scaling = Standardize(Modality("camera", (8, 8), "image"))
    scaling.estimate([torch.full((4, 8, 8), 7, dtype=torch.uint8)])
    assert float(scaling(torch.full((1, 8, 8), 255, dtype=torch.uint8)).max()) == 1.0
