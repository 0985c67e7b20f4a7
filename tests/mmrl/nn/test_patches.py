import pytest
import torch
from torch import Tensor, nn

from mmrl.nn.patches import PatchConv2d, RowConv2d


def pair(channels: int, out: int, kernel: int) -> tuple[PatchConv2d, nn.Conv2d]:
    torch.manual_seed(0)
    ours, plain = PatchConv2d(channels, out, kernel), nn.Conv2d(channels, out, kernel)
    plain.load_state_dict(ours.state_dict())
    return ours.double(), plain.double()


@pytest.mark.parametrize(("channels", "out", "kernel"), [(1, 5, 5), (1, 32, 2), (3, 4, 3)])
def test_results_and_gradients_are_those_of_a_convolution(
    channels: int, out: int, kernel: int
) -> None:
    ours, plain = pair(channels, out, kernel)
    x = torch.randn(3, channels, 9, 8, dtype=torch.float64, requires_grad=True)
    grads: list[tuple[Tensor, ...]] = []
    results = []
    for layer in (ours, plain):
        y = layer(x)
        results.append(y)
        grads.append(torch.autograd.grad(y.square().sum(), [x, *layer.parameters()]))
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("out", [3, 20])
def test_second_derivatives_are_those_of_a_convolution(out: int) -> None:
    ours, plain = pair(2, out, 3)
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(out, 2, 3, 3, dtype=torch.float64)
    found = []
    for layer in (ours, plain):
        (first,) = torch.autograd.grad(layer(x).pow(3).sum(), layer.weight, create_graph=True)
        found.append(torch.autograd.grad((first * direction).sum(), [layer.weight, x]))
    torch.testing.assert_close(*found)


def test_mixed_precision_reaches_the_weights() -> None:
    torch.manual_seed(0)
    layer = PatchConv2d(1, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.rand(2, 1, 6, 6))
    y.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert bool((layer.weight.grad > 0).all())


@pytest.mark.parametrize(("stride", "padding"), [(2, 1), (3, 0)])
def test_strides_and_padding_are_those_of_a_convolution(stride: int, padding: int) -> None:
    torch.manual_seed(0)
    ours = PatchConv2d(2, 7, 4, stride, padding, bias=False)
    x = torch.randn(3, 2, 11, 8)
    torch.testing.assert_close(ours(x), nn.Conv2d.forward(ours, x))


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"),
    [(1, (1, 6), 1, 0), (3, (4, 6), 2, 1), (3, (4, 1), 2, 1), (2, (3, 1), 1, 1)],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_rows_are_convolved_as_by_a_convolution(
    channels: int,
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    memory_format: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    ours = RowConv2d(channels, 5, kernel, stride, padding)
    ours = ours.to(memory_format=memory_format)  # type: ignore[call-overload]
    x = torch.randn(2, channels, 9, kernel[1], requires_grad=True)
    results, grads = [], []
    for convolve in (ours.forward, lambda x: nn.Conv2d.forward(ours, x)):
        y = convolve(x)
        results.append(y)
        grads.append(torch.autograd.grad(y.square().sum(), [x, ours.weight]))
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*grads)
    assert results[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", [PatchConv2d(2, 5, 3, 2, 1), RowConv2d(2, 5, (3, 6), 2, 1)])
def test_an_empty_batch_gives_what_a_convolution_gives(layer: nn.Conv2d) -> None:
    x = torch.zeros(0, 2, 9, 6, requires_grad=True)
    y = layer(x)
    assert y.shape == nn.Conv2d.forward(layer, x).shape
    y.sum().backward()
    assert layer.weight.grad is not None
    assert not bool(layer.weight.grad.any())


@pytest.mark.parametrize("layer", [PatchConv2d(2, 5, 3), RowConv2d(2, 5, (3, 6))])
def test_mixed_precision_gives_the_type_that_a_convolution_gives(layer: nn.Conv2d) -> None:
    x = torch.rand(2, 2, 9, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = layer(x), nn.Conv2d.forward(layer, x)
    assert y.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(y, expected, rtol=0.02, atol=0.02)
