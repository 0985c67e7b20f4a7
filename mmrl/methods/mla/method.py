"""Multimodal representation learning by alternating unimodal adaptation (MLA).

Zhang, Yoon, Bansal, Yao: "Multimodal Representation Learning by Alternating Unimodal Adaptation",
CVPR 2024, https://arxiv.org/abs/2311.10707.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.methods.method import MethodConfig, Optimization
from mmrl.methods.mla.projection import GradientProjection
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.modality import Batch, Modality
from mmrl.nn.joint import UnimodalEncoder
from mmrl.nn.rows import on_rows

FUSIONS = ("entropy", "mean")
ABSENT = ("skip", "zero_input")


@dataclass(frozen=True)
class MLAConfig(SupervisedConfig):
    """Settings of MLA; the defaults are the paper's.

    Args:
        project: Whether the head's steps are modified, so that they do not undo what earlier
            modalities taught it: they keep clear of the previous modality's mean feature (of the
            batch). The paper modifies the gradient, which for plain SGD is the same; False is the
            paper's ablation, and what the released code does, where the modification never runs.
        alpha: Strength of the projection (`mmrl.methods.mla.projection.deflate`).
        restart_every: Updates after which the projection forgets all but the last direction. The
            paper does not say when it does; kept for ever, it would take out one direction after
            another until the head stands still.
        fusion: How predictions are weighted: by `entropy` (per sample, the certain ones more), or
            all alike (`mean`). The entropy of labels is the mean over them, each a choice of two;
            regression has no entropy and takes the mean.
        absent: What is done with a missing modality: `skip` it in training and in fusion, or
            (released code) encode a `zero_input` as if it were there.

    Raises:
        ValueError: A value out of range, or an unknown choice.
    """

    latent_dim: int = 128
    project: bool = True
    alpha: float = 0.1
    restart_every: int = 1
    fusion: str = "entropy"
    absent: str = "skip"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha > 0 or self.restart_every < 1:
            raise ValueError(
                "alpha must be positive and restart_every at least 1, got "
                f"{self.alpha} and {self.restart_every}"
            )
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion is {self.fusion!r}; known: {', '.join(FUSIONS)}")
        if self.absent not in ABSENT:
            raise ValueError(f"absent is {self.absent!r}; known: {', '.join(ABSENT)}")


class MLA(Supervised):
    """Trains one modality after the other through a shared linear head; predictions are fused.

    The representation is the mean of the modalities' features with the weights of the fusion, so
    that the head of it is the fused prediction.
    """

    name: ClassVar[str] = "mla"
    Config: ClassVar[type[MethodConfig]] = MLAConfig
    config: MLAConfig
    updates: Tensor

    def __init__(self, modalities: Sequence[Modality], config: MLAConfig | None = None) -> None:
        super().__init__(modalities, config)
        width, encoders = self.latent_dim, self.config.encoders
        self.encoders = nn.ModuleDict(
            {m.name: UnimodalEncoder(m, width, encoders.get(m.name)) for m in self.modalities}
        )
        self.head = nn.Linear(width, self.outputs)
        self.projection = GradientProjection(width, self.config.alpha)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def _features(self, inputs: Mapping[str, Tensor], available: Tensor, i: int) -> Tensor:
        name = self.names[i]
        return on_rows(self.encoders[name], inputs[name], available[:, i], self.latent_dim)

    def _present(self, available: Tensor) -> Tensor:
        if self.config.absent == "zero_input":
            return torch.ones_like(available)
        return available

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        mask = self._present(available)
        h = torch.stack([self._features(inputs, mask, i) for i in range(len(self.names))], dim=1)
        return (fusion_weights(self._entropies(h), mask)[:, :, None] * h).sum(dim=1)

    def _entropies(self, h: Float[Tensor, "batch modalities latent"]) -> Tensor:
        """Of each modality's predicted distribution; zeros where all count alike."""
        if self.config.fusion == "mean" or self.config.task == "regression":
            return torch.zeros_like(h[:, :, 0])
        logits = self.head(h)
        if self.config.task == "labels":
            return entropies(torch.stack([logits, torch.zeros_like(logits)], dim=3)).mean(dim=2)
        return entropies(logits)

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss of every modality on the samples that have it."""
        mask = self._present(available)
        found = {}
        for i, name in enumerate(self.names):
            rows = mask[:, i]
            prediction = self.head(self._features(inputs, mask, i))
            found[name] = self.task_loss(prediction[rows], y[rows])
        return found

    def update(self, batch: Batch) -> dict[str, float]:
        """One step for each modality that the batch has, in their order; then the contrastive one.

        Raises:
            RuntimeError: No training loop has attached its `optimization`.
        """
        optimization = self.attached()
        inputs, available, y = self.labelled(batch)
        mask = self._present(available)
        if int(self.updates) % self.config.restart_every == 0:
            self.projection.restart()
        self.updates += 1
        terms = {f"task_{name}": 0.0 for name in self.names}
        for i, name in enumerate(self.names):
            rows = mask[:, i]
            if bool(rows.any()):
                x, target = (inputs[name], y) if bool(rows.all()) else (inputs[name][rows], y[rows])
                terms[f"task_{name}"] = self._modality_step(optimization, name, x, target)
        if self.config.contrastive_weight:
            with optimization.autocast():
                loss = self.contrastive(inputs, available)
            optimization.descend(_gradients(loss, self.encoders.parameters()))
            terms["contrastive"] = float(loss.detach())
        return {"loss": sum(terms.values()), **terms}

    def _modality_step(self, optimization: Optimization, name: str, x: Tensor, y: Tensor) -> float:
        with optimization.autocast():
            h = self.encoders[name](x)
            loss = self.task_loss(self.head(h), y)
        parameters = [*self.encoders[name].parameters(), *self.head.parameters()]
        weight = self.head.get_parameter("weight")
        before = weight.detach().clone()
        optimization.descend(_gradients(loss, parameters))
        if self.config.project:
            # The step, not the gradient: an optimiser that rescales and remembers gradients, such
            # as Adam, would put back what was taken out.
            mean = h.detach().mean(dim=0).to(weight.dtype)
            if optimization.fabric.world_size > 1:
                mean = optimization.fabric.all_reduce(mean, reduce_op="mean")
            with torch.no_grad():
                weight.copy_(before + self.projection.project(weight - before, mean))
        return float(loss.detach())


def entropies(logits: Float[Tensor, "*shape choices"]) -> Float[Tensor, "*shape"]:
    """Of the distributions over the last axis, in nats."""
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def fusion_weights(
    entropy: Float[Tensor, "batch modalities"], available: Bool[Tensor, "batch modalities"]
) -> Float[Tensor, "batch modalities"]:
    r"""How much each modality counts, per sample: :math:`\mathrm{softmax}_m(-e_m)`.

    :math:`e_m` is the entropy of modality m's predicted distribution. (The paper subtracts from
    the largest entropy first, which cancels.) Missing modalities count nothing.

    Example:
        >>> certain, unsure = [9.0, 0.0], [0.0, 0.0]
        >>> fusion_weights(entropies(torch.tensor([[certain, unsure]])), torch.ones(1, 2).bool())
        tensor([[0.6664, 0.3336]])
    """
    weights = (-entropy).masked_fill(~available, -torch.inf).softmax(dim=1)
    return torch.where(available, weights, torch.zeros_like(weights))


def _gradients(
    loss: Tensor, parameters: Iterable[nn.Parameter]
) -> list[tuple[nn.Parameter, Tensor | None]]:
    found = list(parameters)
    return list(zip(found, torch.autograd.grad(loss, found, allow_unused=True), strict=True))
