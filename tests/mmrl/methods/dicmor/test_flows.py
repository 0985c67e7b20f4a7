"""Flows: invertible, with the determinant that autograd finds, and Glow's start."""

import math

import pytest
import torch
from torch import Tensor

from mmrl.methods.dicmor.flows import ParallelGlow


def trained_looking(mixing: bool = True) -> ParallelGlow:
    """A flow whose zeros have been replaced by noise."""
    torch.manual_seed(0)
    flow = ParallelGlow(2, 4, 3, hidden=5, mixing=mixing).double()
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return flow


@pytest.mark.parametrize("mixing", [True, False])
def test_inverse_undoes_forward(mixing: bool) -> None:
    flow = trained_looking(mixing)
    x = torch.randn(2, 4, 7).double()
    torch.testing.assert_close(flow.inverse(flow(x)[0]), x, rtol=0, atol=1e-9)


def test_single_precision_inverse_of_the_papers_size() -> None:
    torch.manual_seed(0)
    flow = ParallelGlow(3, 32, 32)
    with torch.no_grad():
        flow.weight3.normal_(std=0.02)
    x = torch.randn(3, 32, 10)
    # 32 couplings shrink by up to sigmoid(2)^32, so errors grow by its inverse on the way back.
    assert (flow.inverse(flow(x)[0]) - x).abs().max().item() < 2e-3


def test_inverse_of_what_was_never_seen_is_finite() -> None:
    flow = trained_looking().float()
    far = 1e3 * torch.randn(2, 4, 50)
    assert bool(flow.inverse(far).isfinite().all())


@pytest.mark.parametrize("mixing", [True, False])
def test_log_determinant_is_autograds(mixing: bool) -> None:
    flow = trained_looking(mixing)
    x = torch.randn(2, 4, 3).double()
    log_det = flow(x)[1]
    for group in range(2):
        for position in range(3):

            def one(v: Tensor, group: int = group, position: int = position) -> Tensor:
                y = x.clone()
                y[group, :, position] = v
                z: Tensor = flow(y)[0]
                return z[group, :, position]

            jacobian = torch.autograd.functional.jacobian(one, x[group, :, position])
            assert isinstance(jacobian, Tensor)
            expected = torch.linalg.slogdet(jacobian).logabsdet
            torch.testing.assert_close(log_det[group, position], expected)


def test_start_of_couplings_is_the_known_one() -> None:
    flow = ParallelGlow(2, 32, 32, mixing=False)
    x = torch.randn(2, 32, 46)
    z, log_det = flow(x)
    torch.testing.assert_close(z[:, :16], x[:, :16])
    torch.testing.assert_close(z[:, 16:], (1 / (1 + math.exp(-2))) ** 32 * x[:, 16:])
    assert log_det.sum(dim=1)[0].item() == pytest.approx(-2989.4, abs=0.1)
    torch.testing.assert_close(flow.inverse(z.flip(0)), x.flip(0), rtol=1e-4, atol=1e-4)


def test_with_mixing_no_channel_passes_through() -> None:
    flow = trained_looking()
    x = torch.randn(2, 4, 50).double()
    z = flow(x)[0]
    assert bool((z - x).abs().amax(dim=2).gt(1e-2).all())


def test_groups_and_positions_do_not_mix() -> None:
    flow = trained_looking()
    x = torch.randn(2, 4, 3).double()
    changed = x.clone()
    changed[0, :, 1] += 1.0
    difference = (flow(changed)[0] - flow(x)[0]).abs().amax(dim=1)
    assert difference.nonzero().tolist() == [[0, 1]]


def test_first_data_get_unit_variance_at_the_first_step() -> None:
    torch.manual_seed(0)
    flow = ParallelGlow(2, 4, 1)
    x = 3.0 + 5.0 * torch.randn(2, 4, 500)
    valid = torch.ones(2, 500, dtype=torch.bool)
    valid[0, 250:] = False
    valid[1] = False
    x[0, :, 250:] = 1e6
    flow.initialize(x, valid)
    assert flow.initialized.tolist() == [True, False]
    normal = (x[0, :, :250] + flow.shift[0]) * flow.log_scale[0].exp()
    torch.testing.assert_close(normal.mean(dim=1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.std(dim=1, correction=0), torch.ones(4), atol=1e-4, rtol=0)
    assert not bool(flow.shift[1].any())
    before = flow.shift.detach().clone()
    flow.initialize(x + 1.0, valid)
    assert torch.equal(flow.shift, before)


def test_odd_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"even number of channels .* got 5, 1, 1 and 64"):
        ParallelGlow(1, 5, 1)


def test_some_flows_backward_alone_are_those_of_all() -> None:
    torch.manual_seed(0)
    flow = ParallelGlow(3, 4, steps=2, hidden=5)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    z, chosen = torch.randn(3, 4, 6), torch.tensor([0, 2])
    torch.testing.assert_close(flow.inverse(z[chosen], chosen), flow.inverse(z)[chosen])
