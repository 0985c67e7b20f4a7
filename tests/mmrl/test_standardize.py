"""Statistics of inputs, chunk by chunk, against those of all values at once."""

import pytest
import torch

from mmrl.modality import Modality
from mmrl.nn import standardize
from mmrl.nn.standardize import Standardize


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_chunks_have_the_statistics_of_the_whole(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standardize, "CHUNK", chunk)
    torch.manual_seed(0)
    values = torch.randn(50, 2, 3) * 4 + 1000
    values[:, 0, 0] = 5.0  # never varies
    values[3, 1, 1] = torch.nan
    values[4, 1, 1] = torch.inf
    rows = torch.rand(50) > 0.3
    rows[:8] = False
    rows[3:5] = True
    counted = rows.clone()
    counted[3:5] = False
    scaling = Standardize(Modality("x", (2, 3), "sequence"))
    scaling.estimate(values, rows)
    std, mean = torch.std_mean(values[counted].double(), dim=0, correction=0)
    std[0, 0] = 1.0
    torch.testing.assert_close(scaling.mean, mean.float())
    torch.testing.assert_close(scaling.std, std.float())


def test_nothing_to_count_leaves_the_identity() -> None:
    scaling = Standardize(Modality("x", (2,), "vector"))
    scaling.estimate(torch.full((4, 2), torch.nan))
    assert scaling.mean.tolist() == [0, 0]
    assert scaling.std.tolist() == [1, 1]
