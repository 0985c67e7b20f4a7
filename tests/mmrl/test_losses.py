import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrl.losses import joint_negatives, nt_xent


def unit(batch: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(batch, dim, generator=generator, dtype=torch.float64), dim=1)


def naive_nt_xent(a: Tensor, p: Tensor, tau: float) -> float:
    u = [*a.tolist(), *p.tolist()]
    n, b = len(u), len(a)
    total = 0.0
    for i in range(n):
        s = [sum(x * y for x, y in zip(u[i], u[j], strict=True)) / tau for j in range(n)]
        positive = s[(i + b) % n]
        total -= math.log(math.exp(positive) / sum(math.exp(s[j]) for j in range(n) if j != i))
    return total / n


def naive_joint_negatives(z: Tensor, p: Tensor, tau: float) -> float:
    joint, positive = z.tolist(), p.tolist()
    b = len(joint)

    def similarity(x: list[float], y: list[float]) -> float:
        return math.exp(sum(s * t for s, t in zip(x, y, strict=True)) / tau)

    total = 0.0
    for i in range(b):
        negatives = sum(similarity(joint[i], joint[j]) for j in range(b) if j != i)
        total -= math.log(similarity(joint[i], positive[i]) / negatives)
    return total / b


Loss = Callable[[Tensor, Tensor, float], Tensor]


@pytest.mark.parametrize(
    ("loss", "naive"), [(nt_xent, naive_nt_xent), (joint_negatives, naive_joint_negatives)]
)
@pytest.mark.parametrize("tau", [0.1, 0.3, 1.0])
def test_loss_is_the_formula(
    loss: Loss, naive: Callable[[Tensor, Tensor, float], float], tau: float
) -> None:
    a, p = unit(7, 5, 0), unit(7, 5, 1)
    assert float(loss(a, p, tau)) == pytest.approx(naive(a, p, tau), rel=1e-12)


def test_nt_xent_of_identical_views_of_orthogonal_samples() -> None:
    # Each row: positive 1/tau, 2B - 2 negatives 0.
    eye = torch.eye(6, dtype=torch.float64)
    expected = math.log(math.exp(1 / 0.2) + 10) - 1 / 0.2
    assert float(nt_xent(eye, eye, 0.2)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [nt_xent, joint_negatives])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_loses_the_value(
    loss: Loss, dtype: torch.dtype
) -> None:
    a = F.normalize(unit(512, 16, 0) * 0.01 + unit(1, 16, 2), dim=1)  # nearly all the same
    half = a.to(dtype)
    expected = float(loss(half.double(), half.double(), 0.02))
    assert math.isfinite(expected)
    assert float(loss(half, half, 0.02)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("loss", [nt_xent, joint_negatives])
def test_gradient_is_the_derivative(loss: Loss) -> None:
    a, p = unit(4, 3, 0).requires_grad_(), unit(4, 3, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: loss(x, y, 0.5), (a, p))


def test_nt_xent_is_symmetric_and_ignores_the_order_of_samples() -> None:
    a, p = unit(9, 4, 0), unit(9, 4, 1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    value = float(nt_xent(a, p, 0.3))
    assert float(nt_xent(p, a, 0.3)) == pytest.approx(value, rel=1e-12)
    assert float(nt_xent(a[order], p[order], 0.3)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("loss", [nt_xent, joint_negatives])
def test_bad_arguments_are_refused(loss: Loss) -> None:
    with pytest.raises(ValueError, match="temperature must be positive, got -1"):
        loss(unit(3, 2, 0), unit(3, 2, 1), -1.0)
    with pytest.raises(ValueError, match="at least two samples"):
        loss(unit(1, 2, 0), unit(1, 2, 1), 0.3)
