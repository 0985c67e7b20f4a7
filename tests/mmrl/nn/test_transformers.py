"""Parallel encoders against PyTorch's own attention, and the fusion's shape and causality."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrl.methods.dicmor.refiner import ParallelRefiner
from mmrl.nn.transformers import (
    MultimodalTransformer,
    ParallelLayer,
    ParallelTransformer,
    causal_mask,
    positions,
)


def encoder(groups: int = 2, layers: int = 2) -> ParallelTransformer:
    torch.manual_seed(0)
    model = ParallelTransformer(groups, 6, 3, layers).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def plain(model: ParallelTransformer, group: int, x: Tensor, keys: Tensor | None) -> Tensor:
    """One group with torch.nn.functional.multi_head_attention_forward."""

    def embed(sequence: Tensor) -> Tensor:
        return math.sqrt(6) * sequence + positions(sequence.shape[1], 6, sequence)

    x = embed(x)
    keys = None if keys is None else embed(keys)
    for layer in model.layers:
        weights = {name: p[group] for name, p in layer.named_parameters()}

        def norm(y: Tensor, name: str, weights: dict[str, Tensor] = weights) -> Tensor:
            scale, shift = weights[f"{name}.weight"].squeeze(), weights[f"{name}.bias"].squeeze()
            return F.layer_norm(y, (6,), scale, shift)

        q = norm(x, "norm1").transpose(0, 1)
        k = q if keys is None else norm(keys, "norm1").transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            q, k, k, 6, 3,
            weights["project.weight"].T, weights["project.bias"][0], None, None, False, 0.0,
            weights["out.weight"].T, weights["out.bias"][0],
            training=False, attn_mask=causal_mask(len(q), len(k), x),
        )  # fmt: skip
        x = x + attended.transpose(0, 1)
        h = F.relu(norm(x, "norm2") @ weights["widen.weight"] + weights["widen.bias"])
        x = x + h @ weights["narrow.weight"] + weights["narrow.bias"]
    last = model.norm
    return F.layer_norm(x, (6,), last.weight[group].squeeze(), last.bias[group].squeeze())


@pytest.mark.parametrize("key_steps", [None, 5, 3])
def test_each_group_is_a_plain_encoder(key_steps: int | None) -> None:
    model = encoder()
    x = torch.randn(2, 4, 5, 6).double()
    keys = None if key_steps is None else torch.randn(2, 4, key_steps, 6).double()
    y = model(x, keys)
    for group in range(2):
        expected = plain(model, group, x[group], None if keys is None else keys[group])
        torch.testing.assert_close(y[group], expected)


@pytest.mark.parametrize("key_steps", [None, 3])
def test_the_last_step_alone_is_that_of_all(key_steps: int | None) -> None:
    model = encoder()
    x = torch.randn(2, 4, 5, 6).double()
    keys = None if key_steps is None else torch.randn(2, 4, key_steps, 6).double()
    gradients = []
    results = []
    for last_only in (False, True):
        y = model(x, keys, last_only)[:, :, -1:]
        results.append(y)
        gradients.append(torch.autograd.grad(y.square().sum(), list(model.parameters())))
    assert results[1].shape == (2, 4, 1, 6)
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*gradients)


def test_steps_do_not_see_their_future() -> None:
    model = encoder()
    x = torch.randn(2, 1, 5, 6).double()
    changed = x.clone()
    changed[:, :, 3] = torch.randn(6).double()
    difference = (model(changed) - model(x)).detach().abs().amax(dim=(0, 1, 3))
    assert float(difference[:3].max()) == 0
    assert float(difference[3:].min()) > 1e-3


def test_attention_dropout_by_group() -> None:
    torch.manual_seed(0)
    model = ParallelTransformer(
        2, 6, 3, 1, attention_dropout=[0.0, 0.5], relu_dropout=0.0, residual_dropout=0.0
    )
    x = torch.randn(2, 3, 4, 6)
    first, second = model(x), model(x)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    model.eval()
    assert torch.equal(model(x), model(x))


def test_dropped_attention_keeps_its_expectation() -> None:
    torch.manual_seed(0)
    model = ParallelTransformer(
        1, 4, 2, 1, attention_dropout=[0.3], relu_dropout=0.0, residual_dropout=0.0
    )
    layer = model.layers[0]
    assert isinstance(layer, ParallelLayer)
    x = torch.randn(1, 1, 3, 4)
    mask = causal_mask(3, 3, x)
    repeated = x.expand(1, 20_000, 3, 4)
    many = layer._attend(repeated, repeated, mask, model.get_buffer("rates"))
    torch.testing.assert_close(
        many.mean(dim=1), layer._attend(x, x, mask, 0.0)[0], atol=0.02, rtol=0
    )


def test_fusion_attends_across_lengths_and_counts_features() -> None:
    torch.manual_seed(0)
    fusion = MultimodalTransformer([5, 5, 3], 4, 2, 1, attention_dropout=[0.1, 0.0, 0.0]).eval()
    sequences = [torch.randn(2, steps, 4) for steps in (5, 5, 3)]
    y = fusion(sequences)
    assert y.shape == (2, fusion.features) == (2, 24)
    assert len(fusion.cross) == 3
    for i in range(3):
        changed = [torch.randn_like(s) if i == j else s for j, s in enumerate(sequences)]
        assert not torch.allclose(fusion(changed), y)


def test_fusion_has_the_size_of_separate_encoders() -> None:
    fusion = MultimodalTransformer([50, 50, 50], 30, 5, 5, attention_dropout=[0.1, 0.0, 0.0])
    assert sum(p.numel() for p in fusion.parameters()) == 6 * 56_010 + 3 * 220_020


def test_refiners_of_groups_do_not_mix() -> None:
    torch.manual_seed(0)
    refiner = ParallelRefiner(2, 4, blocks=2, reduction=4)
    x = torch.randn(2, 3, 4, 5)
    changed = x.clone()
    changed[1] += 1.0
    y = refiner(x)
    assert y.shape == x.shape
    assert torch.equal(refiner(changed)[0], y[0])
    assert not torch.allclose(refiner(changed)[1], y[1])


def test_a_refiner_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one block, got blocks=0"):
        ParallelRefiner(2, 4, blocks=0)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
@pytest.mark.parametrize("name", ["relu_dropout", "residual_dropout", "embedding_dropout"])
def test_dropout_out_of_range_is_refused(name: str, rate: float) -> None:
    rates: dict[str, Any] = {name: rate}
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\), got {rate}"):
        ParallelTransformer(1, 4, 2, 1, **rates)
    with pytest.raises(ValueError, match=r"attention_dropout must be in \[0, 1\), got"):
        ParallelTransformer(2, 4, 2, 1, attention_dropout=[0.0, rate])


def test_some_refiners_alone_are_those_of_all() -> None:
    torch.manual_seed(0)
    refiner = ParallelRefiner(3, 4, blocks=2, reduction=4)
    x = torch.randn(3, 2, 4, 5)
    chosen = torch.tensor([0, 2])
    torch.testing.assert_close(refiner(x[chosen], chosen), refiner(x)[chosen])


def test_refiner_is_the_network_of_the_paper() -> None:
    torch.manual_seed(0)
    refiner = ParallelRefiner(1, 4, blocks=1, reduction=4)
    w = {name: p.detach()[0] for name, p in refiner.named_parameters()}

    def convolve(name: str, x: torch.Tensor) -> torch.Tensor:
        out, inputs = w[f"{name}.weight"].shape
        kernel = w[f"{name}.weight"].view(out, inputs // x.shape[1], x.shape[1]).transpose(1, 2)
        bias = w[f"{name}.bias"].squeeze(1)
        return F.conv1d(x, kernel, bias, padding=kernel.shape[2] // 2)

    x = torch.randn(2, 4, 5)
    start = convolve("widen", x)
    y = convolve("conv2", convolve("conv1", start).relu())
    attention = convolve("excite", convolve("squeeze", y.mean(dim=2, keepdim=True)).relu())
    y = start + y * attention.sigmoid()
    expected = convolve("narrow", convolve("smooth", y) + start)
    torch.testing.assert_close(refiner(x[None])[0], expected)


def test_what_is_read_off_the_memories() -> None:
    """Causal memories make the same of the first steps, whatever follows them."""
    torch.manual_seed(0)
    x = [torch.randn(2, 3, 4) for _ in range(2)]
    by_length = []
    for steps in (1, 2, 3):
        torch.manual_seed(1)
        model = MultimodalTransformer([steps, steps], 4, 2, 2, attention_dropout=[0.0, 0.0])
        by_length.append(model.eval()([one[:, :steps] for one in x]))
    torch.manual_seed(1)
    model = MultimodalTransformer([3, 3], 4, 2, 2, attention_dropout=[0.0] * 2, readout="mean")
    torch.testing.assert_close(model.eval()(x), torch.stack(by_length).mean(dim=0))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="width 5 must be a multiple of heads 2"):
        ParallelTransformer(1, 5, 2, 1)
    with pytest.raises(ValueError, match="2 groups got 1 rates"):
        ParallelTransformer(2, 4, 2, 1, attention_dropout=[0.1])
    with pytest.raises(ValueError, match="wants two modalities or more"):
        MultimodalTransformer([5], 4, 2, 1, attention_dropout=[0.1])
    with pytest.raises(ValueError, match="readout is 'first'; known: last, mean"):
        MultimodalTransformer([5] * 2, 4, 2, 1, attention_dropout=[0.1] * 2, readout="first")
