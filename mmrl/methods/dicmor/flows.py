"""Normalizing flows over sequences, several of the same size side by side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

MIN_STD = 1e-3
SHIFT = 2.0
"""Glow's: scales start at sigmoid(2), near one."""
LEAST = -3.0
"""Of a coupling's output for its scale, which stays above sigmoid(-1): far from what was trained on
scales would fall to zero, and the inverse, which divides by them, would be infinite."""


class ParallelGlow(nn.Module):
    """Glow flows, as many as there are groups, computed together.

    Each step is activation normalisation, an invertible 1x1 convolution and an affine coupling
    (Kingma, Dhariwal: "Glow", 2018, https://arxiv.org/abs/1807.03039). Positions do not mix. The
    maps of all groups have the same shape, so one batched product serves them all.

    Args:
        groups: How many flows.
        channels: Number of channels of their inputs and latents; even.
        steps: Number of steps of each flow.
        hidden: Width of the coupling's network.
        mixing: Whether steps have normalisation and 1x1 convolution; without them (the released
            code of DiCMoR) the first half of the channels passes through unchanged.

    Raises:
        ValueError: An odd number of channels, or a size below one.
    """

    initialized: Tensor

    def __init__(
        self, groups: int, channels: int, steps: int, hidden: int = 64, mixing: bool = True
    ) -> None:
        super().__init__()
        if channels < 2 or channels % 2 or min(groups, steps, hidden) < 1:
            raise ValueError(
                "a flow needs an even number of channels and at least one group, step and hidden "
                f"unit, got {channels}, {groups}, {steps} and {hidden}"
            )
        self.groups, self.channels, self.steps, self.mixing = groups, channels, steps, mixing
        # Three axes: a fourth would be taken for a convolution's when memory formats are changed.
        half, shape = channels // 2, (steps * groups,)
        if mixing:
            self.shift = nn.Parameter(torch.zeros(*shape, channels, 1))
            self.log_scale = nn.Parameter(torch.zeros(*shape, channels, 1))
            rotation = torch.linalg.qr(torch.randn(*shape, channels, channels))[0]
            self.rotation = nn.Parameter(rotation.contiguous())
        self.weight1 = nn.Parameter(_uniform(*shape, hidden, half))
        self.bias1 = nn.Parameter(torch.zeros(*shape, hidden, 1))
        self.weight2 = nn.Parameter(_uniform(*shape, hidden, hidden))
        self.bias2 = nn.Parameter(torch.zeros(*shape, hidden, 1))
        # Zeros and a learned scale: every coupling starts as the same map (Glow's ZeroConv).
        self.weight3 = nn.Parameter(torch.zeros(*shape, channels, hidden))
        self.bias3 = nn.Parameter(torch.zeros(*shape, channels, 1))
        self.log_scale3 = nn.Parameter(torch.zeros(*shape, channels, 1))
        self.register_buffer("initialized", torch.zeros(groups, dtype=torch.bool))

    def forward(
        self, x: Float[Tensor, "groups channels positions"]
    ) -> tuple[Float[Tensor, "groups channels positions"], Float[Tensor, "groups positions"]]:
        """Latents, and the logarithm of the determinant that each position contributes."""
        logs = []
        networks = self._networks()
        affine = self._affine()
        for step in range(self.steps):
            if affine is not None:
                x = torch.baddbmm(affine[1][step], affine[0][step], x)
            x, log_s = _couple(x, [part[step] for part in networks])
            logs.append(log_s)
        log_det = F.logsigmoid(torch.stack(logs) + SHIFT).sum(dim=(0, 2))
        if self.mixing:
            log_det = log_det + self._constant_log_det()[:, None]
        return x, log_det

    def inverse(
        self,
        z: Float[Tensor, "chosen channels positions"],
        groups: Int[Tensor, " chosen"] | None = None,
    ) -> Float[Tensor, "chosen channels positions"]:
        """What `forward` maps to the given latents.

        Args:
            z: By group.
            groups: Whose latents they are; None: all groups', in order.
        """
        networks = self._networks(groups)
        affine = self._affine(groups)
        back = None if affine is None else torch.linalg.inv(torch.stack(affine[0])).unbind()
        for step in reversed(range(self.steps)):
            z = _uncouple(z, [part[step] for part in networks])
            if affine is not None and back is not None:
                z = torch.bmm(back[step], z - affine[1][step])
        return z

    @torch.no_grad()
    def initialize(
        self,
        x: Float[Tensor, "groups channels positions"],
        valid: Bool[Tensor, "groups positions"],
    ) -> None:
        """Data-dependent start: each group that has not had one gets unit variance at each step.

        Args:
            x: First inputs.
            valid: Which positions count; groups without any are left for a later call.
        """
        fresh = valid.any(dim=1) & ~self.initialized
        if not self.mixing or not bool(fresh.any()):
            return
        weight = valid[:, None, :].to(x.dtype)
        count = weight.sum(dim=2, keepdim=True).clamp(min=1)
        for step in range(self.steps):
            mean = (x * weight).sum(dim=2, keepdim=True) / count
            variance = ((x - mean).square() * weight).sum(dim=2, keepdim=True) / count
            # In mixed precision, inputs may have another type than parameters.
            shift = -mean[fresh].to(self.shift.dtype)
            log_scale = -variance[fresh].to(shift.dtype).sqrt().clamp(min=MIN_STD).log()
            self._by_step(self.shift)[step, fresh] = shift
            self._by_step(self.log_scale)[step, fresh] = log_scale
            affine = self._affine()
            assert affine is not None
            x = torch.baddbmm(affine[1][step], affine[0][step], x)
            x, _ = _couple(x, [part[step] for part in self._networks()])
        self.initialized |= fresh

    def _affine(
        self, groups: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]] | None:
        """Normalisation and 1x1 convolution of every step as one matrix and one offset."""
        if not self.mixing:
            return None
        matrix = self.rotation * self.log_scale.exp().transpose(1, 2)
        offset = torch.bmm(matrix, self.shift)
        return self._by_step(matrix, groups).unbind(), self._by_step(offset, groups).unbind()

    def _constant_log_det(self) -> Float[Tensor, " groups"]:
        log_det: Tensor = torch.linalg.slogdet(self.rotation).logabsdet
        return self._by_step(self.log_scale.sum(dim=(1, 2)) + log_det).sum(dim=0)

    def _by_step(self, x: Tensor, groups: Tensor | None = None) -> Tensor:
        """Steps and groups, all or some, as two axes."""
        by_step = x.view(self.steps, self.groups, *x.shape[1:])
        return by_step if groups is None else by_step.index_select(1, groups)

    def _networks(self, groups: Tensor | None = None) -> tuple[tuple[Tensor, ...], ...]:
        gain = (3.0 * self.log_scale3).exp()
        last = (self.weight3 * gain, self.bias3 * gain)
        parts = (self.weight1, self.bias1, self.weight2, self.bias2, *last)
        return tuple(self._by_step(part, groups).unbind() for part in parts)


def _parameters(x_a: Tensor, network: list[Tensor]) -> tuple[Tensor, Tensor]:
    weight1, bias1, weight2, bias2, weight3, bias3 = network
    h = torch.baddbmm(bias1, weight1, x_a).relu_()
    h = torch.baddbmm(bias2, weight2, h).relu_()
    log_s, t = torch.baddbmm(bias3, weight3, h).chunk(2, dim=1)
    return log_s.clamp(min=LEAST), t


def _couple(x: Tensor, network: list[Tensor]) -> tuple[Tensor, Tensor]:
    x_a, x_b = x.chunk(2, dim=1)
    log_s, t = _parameters(x_a, network)
    return torch.cat([x_a, (x_b + t) * torch.sigmoid(log_s + SHIFT)], dim=1), log_s


def _uncouple(z: Tensor, network: list[Tensor]) -> Tensor:
    z_a, z_b = z.chunk(2, dim=1)
    log_s, t = _parameters(z_a, network)
    return torch.cat([z_a, z_b / torch.sigmoid(log_s + SHIFT) - t], dim=1)


def _uniform(*shape: int) -> Tensor:
    bound = shape[-1] ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)
