"""The references that every paper compares with: one modality alone, and plain ways to fuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.methods.method import MethodConfig
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.modality import Batch, Modality
from mmrl.nn.joint import UnimodalEncoder
from mmrl.nn.rows import on_rows
from mmrl.nn.subsets import hide


@dataclass(frozen=True)
class UnimodalConfig(SupervisedConfig):
    """Settings of `Unimodal`.

    Args:
        modality: Name of the one that is looked at; None takes the first.
    """

    modality: str | None = None


class Unimodal(Supervised):
    """Looks at one modality and at nothing else.

    Samples without it are left out of training and represented by zeros.

    Raises:
        ValueError: `config.modality` is not there.
    """

    name: ClassVar[str] = "unimodal"
    Config: ClassVar[type[MethodConfig]] = UnimodalConfig
    config: UnimodalConfig

    def __init__(
        self, modalities: Sequence[Modality], config: UnimodalConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        chosen = self.config.modality or self.names[0]
        if chosen not in self.names:
            raise ValueError(f"modality is {chosen!r}; the modalities are {list(self.names)}")
        self.column = self.names.index(chosen)
        latent = self.latent_dim
        self.encoder = UnimodalEncoder(
            self.modalities[self.column], latent, self.config.encoders.get(chosen)
        )
        self.head = nn.Linear(latent, self.outputs)

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        x, rows = inputs[self.names[self.column]], available[:, self.column]
        return on_rows(lambda x: F.silu(self.encoder(x)), x, rows, self.latent_dim)

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss on the samples that have the modality."""
        rows = available[:, self.column]
        return {"task": self.task_loss(self._predict(inputs, available)[rows], y[rows])}


class LateFusion(Supervised):
    """One network per modality, each trained on its own; what is available votes.

    The predicted probabilities of classes or labels (or numbers) of the available modalities are
    averaged; the representation is the mean of their features.
    """

    name: ClassVar[str] = "late_fusion"

    def __init__(
        self, modalities: Sequence[Modality], config: SupervisedConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        self.encoders = _encoders(self)
        self.heads = nn.ModuleDict(
            {n: nn.Linear(self.latent_dim, self.outputs) for n in self.names}
        )

    def _features(self, inputs: Mapping[str, Tensor], available: Tensor) -> list[Tensor]:
        return [
            on_rows(self.encoders[name], inputs[name], available[:, i], self.latent_dim)
            for i, name in enumerate(self.names)
        ]

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        features = [F.silu(feature) for feature in self._features(inputs, available)]
        return _masked_mean(torch.stack(features, dim=1), available)

    def _outputs(self, inputs: Mapping[str, Tensor], available: Tensor) -> list[Tensor]:
        features = self._features(inputs, available)
        heads = [self.heads[name] for name in self.names]
        return [head(F.silu(h)) for head, h in zip(heads, features, strict=True)]

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        votes = torch.stack(self._outputs(inputs, available), dim=1)
        return self.average(votes, available)

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss of every modality on the samples that have it."""
        outputs = self._outputs(inputs, available)
        return {
            f"task_{name}": self.task_loss(outputs[i][available[:, i]], y[available[:, i]])
            for i, name in enumerate(self.names)
        }


class JointFusion(Supervised, ABC):
    """Features of all modalities are fused into one vector, from which a linear head predicts.

    A subclass implements `_encode`.
    """

    def __init__(
        self, modalities: Sequence[Modality], config: SupervisedConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        self.encoders = _encoders(self)
        self.head = nn.Linear(self.latent_dim, self.outputs)

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": self.task_loss(self._predict(inputs, available), y)}

    def seen(self, inputs: Mapping[str, Tensor], available: Tensor) -> list[Tensor]:
        """Features of every modality, zeros where it is missing."""
        return [
            on_rows(self.encoders[name], inputs[name], available[:, i], self.latent_dim)
            for i, name in enumerate(self.names)
        ]


class SumFusion(JointFusion):
    """Adds the features of what is available."""

    name: ClassVar[str] = "sum"

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        return F.silu(torch.stack(self.seen(inputs, available)).sum(dim=0))


class _Concatenation(JointFusion, ABC):
    """The features side by side, mapped to the latent dimension."""

    def __init__(
        self, modalities: Sequence[Modality], config: SupervisedConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        self.join = _Join(len(self.modalities), self.latent_dim)

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        fused: Tensor = self.join(self.seen(inputs, available))
        return fused


class ConcatFusion(_Concatenation):
    """Concatenates features, those of missing modalities being zeros."""

    name: ClassVar[str] = "concat"


@dataclass(frozen=True)
class ModalityDropoutConfig(SupervisedConfig):
    """Settings of `ModalityDropout`.

    Args:
        drop_rate: Probability with which training hides each available modality of a sample; one
            of them, chosen at random, always stays.
    """

    drop_rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"drop_rate must be in [0, 1), got {self.drop_rate}")


class ModalityDropout(_Concatenation):
    """Concatenation, trained with modalities hidden at random.

    Neverova, Wolf, Taylor, Nebout: "ModDrop: adaptive multi-modal gesture recognition", 2015,
    https://arxiv.org/abs/1501.00102; hidden features instead of hidden inputs, and never all.
    """

    name: ClassVar[str] = "modality_dropout"
    Config: ClassVar[type[MethodConfig]] = ModalityDropoutConfig
    config: ModalityDropoutConfig

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss on what is left of each sample."""
        kept = hide(available, self.config.drop_rate) if self.training else available
        return super().terms(inputs, kept, y)


class _Filling(_Concatenation, ABC):
    """Encodes made-up values in place of missing ones, as if they were readings."""

    @abstractmethod
    def fill(self, name: str, x: Tensor, missing: Tensor) -> Tensor:
        """The inputs of a modality, complete."""

    def seen(self, inputs: Mapping[str, Tensor], available: Tensor) -> list[Tensor]:
        """Features of every modality, of made-up values where it is missing."""
        return [
            self.encoders[name](self.fill(name, inputs[name], ~available[:, i]))
            for i, name in enumerate(self.names)
        ]


class ZeroFilling(_Filling):
    """Concatenation in which the readings of a missing sensor are zeros."""

    name: ClassVar[str] = "zero_filling"

    def fill(self, name: str, x: Tensor, missing: Tensor) -> Tensor:
        """Raw zeros, scaled like readings: this is what cleaning a batch leaves there."""
        return x


class MeanFilling(_Filling):
    """Concatenation in which a missing sensor reads its mean over the training data.

    The means are running ones over the training batches, stored with the weights.
    """

    name: ClassVar[str] = "mean_filling"

    def __init__(
        self, modalities: Sequence[Modality], config: SupervisedConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        for i, modality in enumerate(self.modalities):
            self.register_buffer(f"mean_{i}", torch.zeros(modality.input_shape))
        self.register_buffer("count", torch.zeros(len(self.modalities)))

    def update(self, batch: Batch) -> dict[str, float]:
        """Takes the batch into the means, then one optimisation step."""
        inputs, available = self.prepare(batch)
        counts = self.get_buffer("count")
        for i, name in enumerate(self.names):
            x = inputs[name][available[:, i]]
            if len(x):
                counts[i] += len(x)
                mean = self.get_buffer(f"mean_{i}")
                mean += (x - mean).sum(dim=0) / counts[i]
        return super().update(batch)

    def fill(self, name: str, x: Tensor, missing: Tensor) -> Tensor:
        """The mean of the scaled inputs."""
        mean = self.get_buffer(f"mean_{self.names.index(name)}")
        return torch.where(missing.view(-1, *[1] * mean.dim()), mean, x)


class _Join(nn.Module):
    """Swish, concatenation, a linear map, swish."""

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(parts * width, width)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return F.silu(self.map(F.silu(torch.cat(list(features), dim=1))))


def _encoders(method: Supervised) -> nn.ModuleDict:
    encoders = method.config.encoders
    return nn.ModuleDict(
        {
            m.name: UnimodalEncoder(m, method.latent_dim, encoders.get(m.name))
            for m in method.modalities
        }
    )


def _masked_mean(x: Tensor, available: Tensor) -> Tensor:
    count = available.sum(dim=1).clamp(min=1)
    return (x * available[:, :, None]).sum(dim=1) / count[:, None]
