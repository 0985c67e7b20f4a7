"""GMC for few complete samples: the joint encoder is the sum of the encoders of single modalities.

After Poklukar, Vasco, Yin, Melo, Paiva, Kragic: "Geometric Multimodal Contrastive Representation
Learning", ICML 2022, https://arxiv.org/abs/2202.03390. The paper trains on complete samples only;
what is added here for samples that lack modalities is said in `GMCFused`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.losses import nt_xent
from mmrl.methods.method import MethodConfig
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.modality import Modality
from mmrl.nn.dropout import dropout
from mmrl.nn.joint import UnimodalEncoder
from mmrl.nn.residual_head import ResidualHead
from mmrl.nn.rows import on_rows
from mmrl.nn.subsets import hide

HIDDEN = 0.5
"""Share of modalities that the random subset of more than two hides."""


@dataclass(frozen=True)
class GMCFusedConfig(SupervisedConfig):
    """Settings of `GMCFused`.

    Args:
        latent_dim: Size of the representation.
        contrastive_weight: Weight of the sum of contrastive terms, against 1 of every task's term.
        contrastive_temperature: Temperature of the contrastive terms.
        common_dim: Size of what every encoder hands to the shared head.
        noise: Standard deviation of what training adds to the features from which the encoders'
            sum is made. Without it the few complete samples are soon known by one modality, and
            nothing teaches how much the other one counts.
        dropout: Dropout rate of the features from which the sum is made.

    Raises:
        ValueError: A value out of range.
    """

    contrastive_weight: float = 0.1
    contrastive_temperature: float = 0.3
    common_dim: int = 64
    noise: float = 1.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.common_dim < 1 or self.noise < 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                "common_dim must be at least 1, noise not negative and dropout in [0, 1), got "
                f"{self.common_dim}, {self.noise} and {self.dropout}"
            )


class GMCFused(Supervised):
    """Aligns every single modality with all that is available of a sample, and predicts from both.

    As in supervised GMC, base encoders map each modality to a common dimension, one shared head
    maps that to unit vectors, the vector of each modality is aligned with the joint one, and a
    residual layer predicts from either. Three things are added to the paper, whose joint encoder
    has modality encoders of its own that learn from complete samples alone, and predicts alone:

    - The joint encoder is the sum of the base encoders of what is available. A sample that lacks
      modalities is encoded like any other, and every sample trains all that it has.
    - Labels teach every view: a sample as it is, each of its modalities alone and, of three
      modalities and more, a random subset. Each view's loss is a mean over the samples that have
      it, so that few samples with a rare modality count as much as many without.
    - Training perturbs features by noise and dropout, anew for each view.
    """

    name: ClassVar[str] = "gmc_fused"
    Config: ClassVar[type[MethodConfig]] = GMCFusedConfig
    is_contrastive: ClassVar[bool] = True
    config: GMCFusedConfig

    def __init__(
        self, modalities: Sequence[Modality], config: GMCFusedConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        c = self.config
        self.features = nn.ModuleDict(
            {m.name: UnimodalEncoder(m, c.common_dim, c.encoders.get(m.name)) for m in modalities}
        )
        self.join = nn.Linear(len(self.modalities) * c.common_dim, c.common_dim)
        self.head = nn.Linear(c.common_dim, c.latent_dim)
        self.decide = ResidualHead(c.latent_dim, c.outputs)

    def read(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch modalities common"]:
        """Features of every modality, zeros where it is missing."""
        width = self.config.common_dim
        features = [
            on_rows(self.features[name], inputs[name], available[:, i], width)
            for i, name in enumerate(self.names)
        ]
        return F.silu(torch.stack(features, dim=1))

    def represent(
        self, features: Tensor, seen: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        """Unit vectors of what is seen of each sample."""
        if self.training and self.config.noise:
            features = features + self.config.noise * torch.randn_like(features)
        kept = dropout(features * seen[:, :, None], self.config.dropout, self.training)
        # A linear map of features side by side is the sum of one map for each modality.
        return F.normalize(self.head(self.join(kept.flatten(1))), dim=1)

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        return self.represent(self.read(inputs, available), available)

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        prediction: Tensor = self.decide(self._encode(inputs, available))
        return prediction

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss of every view and the contrastive term of each modality.

        Samples with one modality are that modality's view; the others have a joint one as well.
        """
        features = self.read(inputs, available)
        whole = self.represent(features, available)
        several = available.sum(dim=1) >= 2
        terms = {"task": self.task_loss(self.decide(whole)[several], y[several])}
        if len(self.modalities) > 2:
            part = self.represent(features, hide(available, HIDDEN))
            terms["task_subset"] = self.task_loss(self.decide(part)[several], y[several])
        for i, name in enumerate(self.names):
            has = available[:, i]
            alone = torch.zeros_like(available)
            alone[:, i] = has
            z = self.represent(features, alone)
            terms[f"task_{name}"] = self.task_loss(self.decide(z)[has], y[has])
            pairs = has & several
            if int(pairs.sum()) >= 2:
                term = nt_xent(whole[pairs], z[pairs], self.config.contrastive_temperature)
                terms[f"contrastive_{name}"] = self.config.contrastive_weight * term
        return terms
