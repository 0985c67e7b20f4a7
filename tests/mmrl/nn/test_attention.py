import torch
import torch.nn.functional as F

from mmrl.nn.attention import attention
from mmrl.nn.dropout import dropout_mask
from mmrl.nn.transformers import causal_mask


def test_it_is_torchs_attention_with_steps_last() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(5, 4, 7).double() for _ in range(3))
    mask = causal_mask(7, 7, q)
    rows = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    expected = F.scaled_dot_product_attention(*rows, attn_mask=mask, scale=1.0)
    torch.testing.assert_close(attention(q, k, v, mask), expected.transpose(1, 2))


def test_gradients_are_right_with_and_without_dropped_weights() -> None:
    torch.manual_seed(0)
    q = torch.randn(2, 3, 4).double().requires_grad_()
    k = torch.randn(2, 3, 5).double().requires_grad_()
    v = torch.randn(2, 3, 5).double().requires_grad_()
    mask = causal_mask(4, 5, q)
    drop = dropout_mask(torch.Size([2, 4, 5]), 0.4, q)
    assert 0 < int((drop == 0).sum()) < 40
    for factor in (None, drop):
        assert torch.autograd.gradcheck(
            lambda q, k, v, factor=factor: attention(q, k, v, mask, factor), (q, k, v)
        )


def test_half_precision_goes_both_ways() -> None:
    torch.manual_seed(0)
    q = torch.randn(3, 2, 4, 6).bfloat16().requires_grad_()
    mask = torch.zeros(6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = attention(q[0], q[1], q[2], mask, dropout_mask(torch.Size([2, 6, 6]), 0.5, q))
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert q.grad is not None
    assert bool(q.grad.isfinite().all())
