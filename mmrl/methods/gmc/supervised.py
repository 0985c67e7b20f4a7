"""Supervised GMC: contrastive alignment and a prediction from the joint representation.

Poklukar, Vasco, Yin, Melo, Paiva, Kragic: "Geometric Multimodal Contrastive Representation
Learning", ICML 2022, https://arxiv.org/abs/2202.03390; its experiments on CMU-MOSI and CMU-MOSEI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.losses import nt_xent
from mmrl.methods.method import MethodConfig
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.modality import Modality
from mmrl.nn.dropout import check_rates
from mmrl.nn.joint import JointEncoder, UnimodalEncoder
from mmrl.nn.residual_head import ResidualHead
from mmrl.nn.tokens import STEPS, sequence_encoder
from mmrl.nn.transformers import MultimodalTransformer

JOINTS = ("transformer", "concat")


@dataclass(frozen=True)
class GMCSupervisedConfig(SupervisedConfig):
    """Settings of supervised GMC; the defaults are the paper's for CMU-MOSI and CMU-MOSEI.

    Args:
        latent_dim: Size of the representation.
        outputs: See `SupervisedConfig`.
        task: See `SupervisedConfig`.
        contrastive_weight: Weight of the sum of contrastive terms, against the task's 1.
        contrastive_temperature: Temperature of the contrastive terms.
        common_dim: Size of what every encoder hands to the shared head.
        joint: The joint encoder: a Multimodal `transformer`, or `concat` of encoders.
        width: Features per step in the transformer.
        heads: Number of heads of the transformer's attention.
        layers: Number of layers of the transformer's encoders.
        attention_dropout: Where a modality is attended to, by its name; 0 for those not named,
            and names of modalities that are not there mean nothing.
        memory_dropout: Dropout rate of the attention in the transformer's memories.
        embedding_dropout: Dropout rate of the inputs of the transformer's encoders.

    Raises:
        ValueError: A value out of range, or an unknown choice.
    """

    latent_dim: int = 60
    outputs: int = 1
    task: str = "regression"
    contrastive_weight: float = 1.0
    contrastive_temperature: float = 0.3
    common_dim: int = 60
    joint: str = "transformer"
    width: int = 30
    heads: int = 5
    layers: int = 5
    attention_dropout: dict[str, Any] = field(default_factory=lambda: {"text": 0.1})
    memory_dropout: float = 0.1
    embedding_dropout: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(memory_dropout=self.memory_dropout, embedding_dropout=self.embedding_dropout)
        for name, rate in self.attention_dropout.items():
            check_rates(**{f"attention_dropout.{name}": float(rate)})
        if self.joint not in JOINTS:
            raise ValueError(f"joint is {self.joint!r}; known: {', '.join(JOINTS)}")


class GMCSupervised(Supervised):
    """Aligns single modalities with complete observations, from which it learns to predict.

    Complete samples enter the contrastive terms. Every sample enters the task's loss through its
    representation: the joint one where it is complete, as in the paper, else the mean of its
    modalities' unit vectors.
    """

    name: ClassVar[str] = "gmc_supervised"
    Config: ClassVar[type[MethodConfig]] = GMCSupervisedConfig
    is_contrastive: ClassVar[bool] = True
    config: GMCSupervisedConfig

    def __init__(
        self, modalities: Sequence[Modality], config: GMCSupervisedConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        c = self.config
        self.unimodal = nn.ModuleDict(
            {m.name: UnimodalEncoder(m, c.common_dim, c.encoders.get(m.name)) for m in modalities}
        )
        self.joint: nn.Module = (
            JointTransformer(self.modalities, c)
            if c.joint == "transformer"
            else JointEncoder(self.modalities, c.common_dim, c.encoders)
        )
        self.head = nn.Linear(c.common_dim, c.latent_dim)
        self.decide = ResidualHead(c.latent_dim, c.outputs)

    def project(self, common: Tensor) -> Float[Tensor, "batch latent"]:
        """The shared head: unit vectors."""
        return F.normalize(self.head(common), dim=1)

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        return self._represent(inputs, available)[0]

    def _represent(
        self, inputs: Mapping[str, Tensor], available: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Representations, and of the complete samples the rows and the joint vectors."""
        complete = available.all(dim=1)
        rows = complete.nonzero().squeeze(1)
        z = torch.zeros(len(available), self.latent_dim, device=available.device)
        joint = z[:0]
        if len(rows):
            joint = self.project(self.joint({name: inputs[name][rows] for name in self.names}))
            z = z.index_add(0, rows, joint.to(z.dtype))
        count = available.sum(dim=1)
        for i, name in enumerate(self.names):
            alone = (available[:, i] & ~complete).nonzero().squeeze(1)
            if len(alone):
                view = self.project(self.unimodal[name](inputs[name][alone]))
                z = z.index_add(0, alone, view.to(z.dtype) / count[alone, None])
        return z, rows, joint

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        prediction: Tensor = self.decide(self._encode(inputs, available))
        return prediction

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss and the contrastive term of each modality."""
        z, rows, joint = self._represent(inputs, available)
        terms = {"task": self.task_loss(self.decide(z), y)}
        if len(rows) >= 2:
            for name in self.names:
                view = self.project(self.unimodal[name](inputs[name][rows]))
                term = nt_xent(joint, view, self.config.contrastive_temperature)
                terms[f"contrastive_{name}"] = self.config.contrastive_weight * term
        return terms


class JointTransformer(nn.Module):
    """The joint encoder on CMU-MOSI and CMU-MOSEI: 1x1 convolutions and a Multimodal Transformer.

    Args:
        modalities: What it sees; what is no sequence becomes one of four steps.
        config: Sizes and rates.
    """

    def __init__(self, modalities: Sequence[Modality], config: GMCSupervisedConfig) -> None:
        super().__init__()
        self.names = tuple(m.name for m in modalities)
        lengths = [m.shape[0] if m.kind == "sequence" else STEPS for m in modalities]
        self.encoders = nn.ModuleDict(
            {
                m.name: sequence_encoder(
                    m,
                    config.width,
                    length,
                    kernel=1,
                    options=None if m.kind == "sequence" else config.encoders.get(m.name),
                )
                for m, length in zip(modalities, lengths, strict=True)
            }
        )
        self.fusion = MultimodalTransformer(
            lengths,
            config.width,
            config.heads,
            config.layers,
            attention_dropout=[float(config.attention_dropout.get(n, 0.0)) for n in self.names],
            memory_dropout=config.memory_dropout,
            embedding_dropout=config.embedding_dropout,
        )
        fused = self.fusion.features
        self.head = ResidualHead(fused, config.common_dim)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch out"]:
        """Joint features of complete observations."""
        sequences = [self.encoders[name](inputs[name]).transpose(1, 2) for name in self.names]
        joined: Tensor = self.head(self.fusion(sequences))
        return joined
