"""Loss functions: pure functions of tensors, one formula each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def nt_xent(
    anchor: Float[Tensor, "batch latent"],
    positive: Float[Tensor, "batch latent"],
    temperature: float,
) -> Float[Tensor, ""]:
    r"""Normalised temperature-scaled cross-entropy (SimCLR; GMC's term for one modality).

    With :math:`U = [a; p]` of 2B unit vectors and :math:`s_{ij} = u_i \cdot u_j / \tau`, the mean
    over all 2B rows of :math:`-s_{i,i \pm B} + \log \sum_{j \ne i} \exp s_{ij}`. The positive stays
    in the denominator.

    Args:
        anchor: Unit vectors; in GMC the joint representations.
        positive: Unit vectors of the same samples; in GMC those of one modality.
        temperature: :math:`\tau > 0`.

    Returns:
        A scalar in single precision or better; computed there even from half-precision vectors,
        where exp(1 / 0.1) summed over a batch would overflow.

    Raises:
        ValueError: The temperature is not positive, or the shapes differ.

    Example:
        >>> a = torch.eye(2)
        >>> round(float(nt_xent(a, a, temperature=1.0)), 4)  # log(e + 2) - 1
        0.5514
    """
    _check_pair(anchor, positive, temperature)
    batch = len(anchor)
    vectors = _at_least_single(torch.cat([anchor, positive]))
    logits = vectors @ vectors.T / temperature
    logits.fill_diagonal_(-torch.inf)
    rows = torch.arange(2 * batch, device=logits.device)
    return F.cross_entropy(logits, (rows + batch) % (2 * batch))


def joint_negatives(
    joint: Float[Tensor, "batch latent"],
    positive: Float[Tensor, "batch latent"],
    temperature: float,
) -> Float[Tensor, ""]:
    r"""GMC's ablation "joints as negatives".

    The mean over samples of
    :math:`-\log(\exp(z_i \cdot p_i / \tau) / \sum_{j \ne i} \exp(z_i \cdot z_j / \tau))`: only
    joint-joint pairs repel, and the positive is not in the denominator.

    Args:
        joint: Unit vectors of complete observations, at least two.
        positive: Unit vectors of one modality of the same samples.
        temperature: :math:`\tau > 0`.

    Raises:
        ValueError: The temperature is not positive, or the shapes differ.
    """
    _check_pair(joint, positive, temperature)
    joint, positive = _at_least_single(joint), _at_least_single(positive)
    negatives = joint @ joint.T / temperature
    negatives.fill_diagonal_(-torch.inf)
    return (negatives.logsumexp(dim=1) - (joint * positive).sum(1) / temperature).mean()


def _at_least_single(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _check_pair(a: Tensor, b: Tensor, temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(
            "expected two batches of the same shape with at least two samples, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
