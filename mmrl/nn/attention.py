"""Attention with narrow heads, laid out for the speed of processors."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def attention(
    q: Float[Tensor, "pairs width steps"],
    k: Float[Tensor, "pairs width key_steps"],
    v: Float[Tensor, "pairs width key_steps"],
    mask: Float[Tensor, "steps key_steps"],
    drop: Float[Tensor, "pairs steps key_steps"] | None = None,
) -> Float[Tensor, "pairs width steps"]:
    """What each query reads: values weighted by the softmax of its products with the keys.

    Steps are the last axis: with heads a few numbers wide, products whose result is as wide as the
    sequence are several times faster than those whose result is as wide as a head.

    Args:
        q: Queries, scaled.
        k: Keys.
        v: Values.
        mask: Added to the products.
        drop: Multiplies the weights, see `mmrl.nn.dropout.dropout_mask`.

    Example:
        >>> zeros = torch.zeros(1, 1, 2)
        >>> attention(zeros, zeros, torch.tensor([[[1.0, 3.0]]]), torch.zeros(2, 2))
        tensor([[[2., 2.]]])
    """
    result: Tensor = _Attention.apply(q, k, v, mask, drop)  # type: ignore[no-untyped-call]
    return result


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, drop: Tensor | None
    ) -> Tensor:
        logits = torch.baddbmm(mask.to(q.dtype), q.transpose(1, 2), k)
        weights = logits.softmax(dim=2).to(v.dtype)
        used = weights if drop is None else weights * drop
        ctx.save_for_backward(q, k, v, weights, used)
        return torch.bmm(v, used.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, used = ctx.saved_tensors
        (gradient,) = gradients
        # Of the softmax: its input's gradient is weights x (gradient - mean gradient).
        to_logits = torch.bmm(gradient.transpose(1, 2), v).mul_(used)
        to_logits.addcmul_(weights, to_logits.sum(dim=2, keepdim=True), value=-1.0)
        return (
            torch.bmm(k, to_logits.transpose(1, 2)),
            torch.bmm(q, to_logits),
            torch.bmm(gradient, used),
            None,
            None,
        )
