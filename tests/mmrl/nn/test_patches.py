import pytest
import torch
from torch import nn

from mmrl.nn.patches import RowConv2d


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


def test_an_empty_batch_gives_what_a_convolution_gives() -> None:
    layer = RowConv2d(2, 5, (3, 6), 2, 1)
    x = torch.zeros(0, 2, 9, 6, requires_grad=True)
    y = layer(x)
    assert y.shape == nn.Conv2d.forward(layer, x).shape
    y.sum().backward()
    assert layer.weight.grad is not None
    assert not bool(layer.weight.grad.any())


def test_mixed_precision_gives_the_type_that_a_convolution_gives() -> None:
    layer = RowConv2d(2, 5, (3, 6))
    x = torch.rand(2, 2, 9, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = layer(x), nn.Conv2d.forward(layer, x)
    assert y.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(y, expected, rtol=0.02, atol=0.02)
