from typing import Any

import pytest
import torch

from mmrl.methods import METHODS
from mmrl.methods.gmc.supervised import GMCSupervisedConfig
from mmrl.nn.dropout import Dropout, dropout, dropout_mask


def test_as_many_elements_are_dropped_as_the_rate_says_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.Size([400, 501]), 0.3, torch.zeros(()))
    kept = (mask > 0).float().mean()
    assert float(kept) == pytest.approx(0.7, abs=0.005)
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.7], rel=1e-4)
    assert float(mask.mean()) == pytest.approx(1.0, abs=0.01)


def test_neighbours_are_dropped_independently_of_each_other() -> None:
    torch.manual_seed(0)
    kept = (dropout_mask(torch.Size([50_000, 4]), 0.5, torch.zeros(())) > 0).double()
    # Four elements share one random integer.
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert float(correlation.abs().max()) < 0.02


def test_groups_may_have_rates_of_their_own() -> None:
    torch.manual_seed(0)
    rates = torch.tensor([0.0, 0.1, 0.9])[:, None]
    mask = dropout_mask(torch.Size([3, 40_000]), rates, torch.zeros(()))
    assert (mask > 0).float().mean(dim=1).tolist() == pytest.approx([1.0, 0.9, 0.1], abs=0.01)
    assert mask.mean(dim=1).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=0.05)


def test_the_gradient_passes_where_the_value_does() -> None:
    torch.manual_seed(0)
    x = torch.ones(7, 11, requires_grad=True)
    y = dropout(x, 0.5, training=True)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())
    assert 0 < int((y == 0).sum()) < 77


def test_evaluation_drops_nothing() -> None:
    x = torch.rand(5)
    layer = Dropout(0.9).eval()
    assert layer(x) is x
    assert not torch.equal(layer.train()(torch.ones(100)), torch.ones(100))


def test_the_type_of_the_input_is_kept() -> None:
    assert dropout(torch.ones(4, dtype=torch.float64), 0.5, training=True).dtype == torch.float64
    assert dropout(torch.ones(4, dtype=torch.bfloat16), 0.5, training=True).dtype == torch.bfloat16


def test_a_rate_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1"):
        Dropout(1.0)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_rate_next_to_one_stays_finite(as_tensor: bool) -> None:
    torch.manual_seed(0)
    rate = torch.tensor([1 - 1e-7]) if as_tensor else 1 - 1e-7
    mask = dropout_mask(torch.Size([1000]), rate, torch.zeros(()))
    assert bool(torch.isfinite(mask).all())
    assert float((mask == 0).float().mean()) > 0.99


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("smil", "dropout"),
        ("dicmor", "attention_dropout"),
        ("dicmor", "embedding_dropout"),
        ("dicmor", "output_dropout"),
        ("gmc_supervised", "memory_dropout"),
        ("gmc_supervised", "embedding_dropout"),
        ("gmc_fused", "dropout"),
    ],
)
@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_settings_of_methods_are_refused_out_of_range(method: str, name: str, rate: float) -> None:
    settings: dict[str, Any] = {name: rate}
    with pytest.raises(ValueError, match=rf"{name}.* in \[0, 1\), got .*{rate}"):
        METHODS[method].Config(**settings)


def test_the_modality_whose_dropout_is_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"attention_dropout.text must be in \[0, 1\), got 1.5"):
        GMCSupervisedConfig(attention_dropout={"sound": 0.1, "text": 1.5})
