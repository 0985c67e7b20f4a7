"""Geometric multimodal contrastive representation learning (GMC).

Poklukar, Vasco, Yin, Melo, Paiva, Kragic: "Geometric Multimodal Contrastive Representation
Learning", ICML 2022, https://arxiv.org/abs/2202.03390.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.losses import joint_negatives, nt_xent
from mmrl.methods.gmc.gather import gather
from mmrl.methods.method import Method, MethodConfig
from mmrl.modality import Batch, Modality
from mmrl.nn.joint import JointEncoder, UnimodalEncoder

NEGATIVES = {"all": nt_xent, "joints": joint_negatives}
INCOMPLETE = ("average", "masked_joint", "average_all")


@dataclass(frozen=True)
class GMCConfig(MethodConfig):
    """Settings of GMC; the defaults are the paper's for the pendulum.

    Args:
        latent_dim: Size of the representation.
        common_dim: Size of what every encoder hands to the shared head.
        head: Hidden widths of the shared head.
        temperature: Temperature of the contrastive loss.
        radius: Length of the vector that `encode` returns for a complete observation; the loss
            sees unit vectors (the paper's policies too). Policies learn faster from coordinates of
            unit variance, which a radius of sqrt(latent_dim) gives.
        encoders: Options of the modality encoder by modality name (see `mmrl.nn.encoders`).
        standardize: See `MethodConfig`; the paper scales to ranges known beforehand instead.
        negatives: `all` (the paper), or the ablation `joints`.
        incomplete: How a sample with some but not all of its modalities is encoded: `average` of
            the unimodal vectors (the paper); `masked_joint`: subsets of two or more go through the
            joint encoder with placeholders, trained on random subsets with the same loss; or
            `average_all`: complete samples are the average of their unimodal vectors, too, and the
            joint encoder only teaches.
        reconstruction_weight: Weight of the squared error with which a linear map reads the scaled
            values of all modalities of kind vector off every representation. Alignment keeps what
            modalities share; a robot's policy also needs what one of them alone knows. 0 is the
            paper's.
    """

    latent_dim: int = 10
    common_dim: int = 64
    head: tuple[int, ...] = (128,)
    temperature: float = 0.3
    radius: float = 3.1623
    encoders: dict[str, Any] = field(default_factory=dict)
    negatives: str = "all"
    incomplete: str = "average"
    reconstruction_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent_dim < 2 or self.common_dim < 1:
            raise ValueError("latent_dim must be at least 2 and common_dim at least 1")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not self.radius > 0:
            raise ValueError(f"radius must be positive, got {self.radius}")
        if self.negatives not in NEGATIVES:
            raise ValueError(f"negatives is {self.negatives!r}; known: {sorted(NEGATIVES)}")
        if self.incomplete not in INCOMPLETE:
            raise ValueError(f"incomplete is {self.incomplete!r}; known: {INCOMPLETE}")
        if not self.reconstruction_weight >= 0:
            raise ValueError(
                f"reconstruction_weight must not be negative, got {self.reconstruction_weight}"
            )


class GMC(Method):
    """Aligns the representation of every single modality with that of the complete observation.

    Base encoders map each modality, and a joint encoder with encoders of its own all of them, to a
    common dimension; one shared head maps that to unit vectors. The loss is the NT-Xent between
    the joint vectors and each modality's, summed over modalities.

    Args:
        modalities: What it sees; one alone is allowed and makes joint and unimodal views of it.
        config: See `GMCConfig`.

    Raises:
        ValueError: `config.encoders` names a modality that is not there, or `reconstruction_weight`
            is set and no modality is of kind vector.
    """

    name: ClassVar[str] = "gmc"
    Config: ClassVar[type[MethodConfig]] = GMCConfig
    learns_from_incomplete: ClassVar[bool] = False
    config: GMCConfig

    def __init__(self, modalities: Sequence[Modality], config: GMCConfig | None = None) -> None:
        super().__init__(modalities, config)
        encoders = self.config.encoders
        if unknown := sorted(set(encoders) - set(self.names)):
            raise ValueError(f"encoders names {unknown}; the modalities are {list(self.names)}")
        out = self.config.common_dim
        self.unimodal = nn.ModuleDict(
            {m.name: UnimodalEncoder(m, out, encoders.get(m.name)) for m in self.modalities}
        )
        masked = self.config.incomplete == "masked_joint" and len(self.modalities) > 2
        self.joint = JointEncoder(self.modalities, out, encoders, sees_mask=masked)
        widths = (out, *self.config.head, self.config.latent_dim)
        layers: list[nn.Module] = []
        for i in range(len(widths) - 1):
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.SiLU()]
        self.head = nn.Sequential(*layers[:-1])
        sizes = {m.name: m.size for m in self.modalities if m.kind == "vector"}
        if self.config.reconstruction_weight and not sizes:
            raise ValueError("reconstruction_weight wants a modality of kind vector; there is none")
        self.read = nn.ModuleDict(
            {name: nn.Linear(self.latent_dim, size) for name, size in sizes.items()}
            if self.config.reconstruction_weight
            else {}
        )

    def project(self, common: Tensor) -> Float[Tensor, "batch latent"]:
        """The shared head: unit vectors."""
        return F.normalize(self.head(common), dim=1)

    def _represent(
        self, inputs: Mapping[str, Tensor], available: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Unit vectors of complete observations, and of what is aligned with them, by its term."""
        if not bool(available.all()):
            raise ValueError(
                "GMC learns from complete observations only; leave out the samples in which a "
                "modality is missing"
            )
        features = self.joint.features(inputs)
        terms = [f"contrastive_{name}" for name in self.names]
        common = [self.unimodal[name](inputs[name]) for name in self.names]
        common.append(self.joint.join(features))
        if self.joint.placeholders is not None:
            terms.append("subsets")
            subsets = random_subsets(len(available), len(self.names), available.device)
            common.append(self.joint.join(features, subsets))
        vectors = list(self.project(torch.cat(common)).chunk(len(common)))
        joint = vectors.pop(len(self.names))
        return joint, dict(zip(terms, vectors, strict=True))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The contrastive term of every modality (and of random subsets), and the sum of all."""
        inputs, available = self.prepare(batch)
        joint, views = self._represent(inputs, available)
        term, whole = NEGATIVES[self.config.negatives], gather(joint)
        terms = {name: term(whole, gather(z), self.config.temperature) for name, z in views.items()}
        if self.config.reconstruction_weight:
            error = self._reading_error([*views.values(), joint], inputs)
            terms["reconstruction"] = self.config.reconstruction_weight * error
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def _reading_error(
        self, vectors: Sequence[Tensor], inputs: Mapping[str, Tensor]
    ) -> Float[Tensor, ""]:
        """Mean squared error of what is read off each vector, added up over vectors."""
        true = torch.cat([inputs[name].flatten(1) for name in self.read], dim=1)
        errors = [
            F.mse_loss(torch.cat([read(z) for read in self.read.values()], dim=1), true)
            for z in vectors
        ]
        return torch.stack(errors).sum()

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        latent = available.new_zeros((len(available), self.latent_dim), dtype=torch.float32)
        count = available.sum(dim=1)
        through_joint = count == len(self.modalities)
        if self.config.incomplete == "average_all":
            through_joint = torch.zeros_like(through_joint)
        if self.joint.placeholders is not None:
            through_joint |= count >= 2
        latent = self._through_joint(latent, inputs, available, through_joint)
        mean = torch.zeros_like(latent)
        for i, name in enumerate(self.names):
            rows = (available[:, i] & ~through_joint).nonzero().squeeze(1)
            if len(rows):
                z = self.project(self.unimodal[name](inputs[name][rows]))
                # "code" of the paper: the mean of unit vectors, not normalised again
                mean = mean.index_add(0, rows, z.to(mean.dtype) / count[rows, None])
        return self.config.radius * (latent + mean)

    def _through_joint(
        self, latent: Tensor, inputs: Mapping[str, Tensor], available: Tensor, chosen: Tensor
    ) -> Tensor:
        rows = chosen.nonzero().squeeze(1)
        if not len(rows):
            return latent
        features = self.joint.features({name: inputs[name][rows] for name in self.names})
        masked = self.joint.placeholders is not None
        z = self.project(self.joint.join(features, available[rows] if masked else None))
        return latent.index_add(0, rows, z.to(latent.dtype))


def random_subsets(
    batch: int, modalities: int, device: torch.device
) -> Bool[Tensor, "batch modalities"]:
    """Masks of random size between two and all but one modality, uniform over sizes."""
    size = torch.randint(2, modalities, (batch, 1), device=device)
    rank = torch.rand(batch, modalities, device=device).argsort(dim=1).argsort(dim=1)
    return rank < size
