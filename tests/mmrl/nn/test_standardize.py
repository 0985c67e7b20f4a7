"""Statistics of inputs, chunk by chunk, against those of all values at once."""

import numpy as np
import pytest
import torch

from mmrl.data import ArrayData, Sequences
from mmrl.modality import Modality
from mmrl.nn.standardize import Standardize


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_chunks_have_the_statistics_of_the_whole(chunk: int) -> None:
    torch.manual_seed(0)
    values = torch.randn(50, 2, 3) * 4 + 1000
    values[:, 0, 0] = 5.0  # never varies
    values[3, 1, 1] = torch.nan
    values[4, 1, 1] = torch.inf
    counted = torch.ones(50, dtype=torch.bool)
    counted[3:5] = False
    scaling = Standardize(Modality("x", (2, 3), "sound"))
    scaling.estimate(values.split(chunk))
    std, mean = torch.std_mean(values[counted].double(), dim=0, correction=0)
    std[0, 0] = 1.0
    torch.testing.assert_close(scaling.mean, mean.float())
    torch.testing.assert_close(scaling.std, std.float())


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
