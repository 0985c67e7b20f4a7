"""Methods that predict a target: a class, labels, or real numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.losses import nt_xent
from mmrl.methods.method import Method, MethodConfig
from mmrl.modality import Batch, Modality, mark_missing

TASKS = ("classification", "labels", "regression")


@dataclass(frozen=True)
class SupervisedConfig(MethodConfig):
    """Settings of every method that predicts a target.

    Args:
        outputs: Classes, labels, or regression targets.
        task: `classification`, one class per sample (cross-entropy); `labels`, of which a sample
            has any number (binary cross-entropy of each, their mean); or `regression` (mean
            absolute error, as the papers on sentiment have it).
        encoders: Options of the modality encoder by modality name (see `mmrl.nn.encoders`).
        contrastive_weight: Weight of GMC's loss between the representation of all that is
            available of a sample and those of its single modalities; 0 leaves it out.
        contrastive_temperature: Temperature of the contrastive loss.
    """

    outputs: int = 10
    task: str = "classification"
    encoders: dict[str, Any] = field(default_factory=dict)
    contrastive_weight: float = 0.0
    contrastive_temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; known: {', '.join(TASKS)}")
        least = 2 if self.task == "classification" else 1
        if self.outputs < least or self.latent_dim < 1:
            raise ValueError(
                f"{self.task} needs at least {least} outputs and 1 latent dimension, got "
                f"{self.outputs} and {self.latent_dim}"
            )
        if self.contrastive_weight < 0 or not self.contrastive_temperature > 0:
            raise ValueError(
                "contrastive_weight must not be negative and contrastive_temperature must be "
                f"positive, got {self.contrastive_weight} and {self.contrastive_temperature}"
            )


class Supervised(Method, ABC):
    """A method that learns to predict a target from any subset of its modalities.

    A subclass implements `_encode` and `terms`, and has a `head` that predicts from the
    representation, or a `_predict` of its own.

    Args:
        modalities: What it sees.
        config: Its settings; the defaults where None.

    Raises:
        ValueError: `config.encoders` names a modality that is not there.
    """

    Config: ClassVar[type[MethodConfig]] = SupervisedConfig
    is_contrastive: ClassVar[bool] = False
    """Whether `terms` has the contrastive loss already, so that it is not added."""
    head: nn.Module
    config: SupervisedConfig

    def __init__(self, modalities: Sequence[Modality], config: MethodConfig | None = None) -> None:
        super().__init__(modalities, config)
        if unknown := sorted(set(self.config.encoders) - set(self.names)):
            raise ValueError(f"encoders names {unknown}; the modalities are {list(self.names)}")

    @property
    def outputs(self) -> int:
        """Classes, labels, or regression targets."""
        return self.config.outputs

    def predict(
        self,
        values: Mapping[str, Tensor | None],
        available: Bool[Tensor, "batch modalities"] | None = None,
    ) -> Float[Tensor, "batch outputs"]:
        """Logits of the classes or labels, or predicted numbers.

        A label is predicted where its logit is positive: its probability is over one half.

        Args:
            values: Raw values by modality name, as `encode` takes them.
            available: Mask; None means that all that is given is available.

        Returns:
            One row per sample; zeros (all classes alike, no label) where nothing is available.

        Raises:
            ValueError: Unknown modalities or shapes that do not fit.
        """
        clean, mask = mark_missing(values, available, self.modalities)
        return self._predict(self.scale(clean), mask) * mask.any(dim=1, keepdim=True)

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        """`predict` on clean, scaled inputs; rows without any modality may be anything finite."""
        prediction: Tensor = self.head(self._encode(inputs, available))
        return prediction

    @abstractmethod
    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """Named, weighted terms of the loss on samples that have at least one modality."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The method's terms, the contrastive one where it is asked for, and their sum.

        Raises:
            ValueError: The batch has no target, or one that does not fit the task.
        """
        inputs, available, y = self.labelled(batch)
        terms = self.terms(inputs, available, y)
        if self.config.contrastive_weight and not self.is_contrastive:
            terms["contrastive"] = self.contrastive(inputs, available)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def labelled(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Clean, scaled inputs, mask and target of the samples that have at least one modality.

        Raises:
            ValueError: The batch has no target, or one that does not fit the task.
        """
        y = self._checked_target(batch)
        inputs, available = self.prepare(batch)
        rows = available.any(dim=1)
        if not bool(rows.all()):
            inputs = {name: value[rows] for name, value in inputs.items()}
            available, y = available[rows], y[rows]
        return inputs, available, y

    def _checked_target(self, batch: Batch) -> Tensor:
        y = batch.target
        if y is None:
            raise ValueError(f"{self.name} learns from targets, and this batch has none")
        if self.config.task == "regression":
            y = y.reshape(len(y), -1).float()
            if y.shape[1] != self.outputs:
                raise ValueError(f"expected {self.outputs} targets a sample, got {y.shape[1]}")
            return y
        if self.config.task == "labels":
            return self._checked_labels(y)
        if y.is_floating_point() or y.dim() != 1:
            raise ValueError(
                "classification wants integer class indices of shape (batch,), got "
                f"{y.dtype} of shape {tuple(y.shape)}; for real targets set task=regression, for "
                "several labels a sample task=labels"
            )
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < self.outputs:
            raise ValueError(
                f"classes must lie in 0..{self.outputs - 1}, got {int(y.min())}..{int(y.max())}"
            )
        return y.long()

    def _checked_labels(self, y: Tensor) -> Tensor:
        if tuple(y.shape) != (len(y), self.outputs):
            raise ValueError(
                f"labels must be of shape (batch, {self.outputs}), got {tuple(y.shape)}"
            )
        if not bool(((y == 0) | (y == 1)).all()):
            raise ValueError("labels must be 0 or 1, and these are not; are they numbers?")
        return y.float()

    def task_loss(self, prediction: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Cross-entropy (of each label), or mean absolute error; zero on no samples."""
        if not len(y):
            return prediction.sum() * 0.0
        if prediction.dtype != torch.float64:
            prediction = prediction.float()
        if self.config.task == "regression":
            return F.l1_loss(prediction, y.to(prediction.dtype))
        if self.config.task == "labels":
            return F.binary_cross_entropy_with_logits(prediction, y.to(prediction.dtype))
        return F.cross_entropy(prediction, y)

    def average(
        self,
        votes: Float[Tensor, "batch votes outputs"],
        counts: Bool[Tensor, "batch votes"],
    ) -> Float[Tensor, "batch outputs"]:
        """One prediction of several: the logits of their mean probabilities, or the mean number.

        Args:
            votes: What `_predict` could return, several times for each sample.
            counts: Which of them count; where none does, the result is anything finite.
        """
        present = counts[:, :, None]
        if self.config.task == "regression":
            return (votes * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        # -inf - -inf would be NaN where nobody votes
        absent = ~present & counts.any(dim=1)[:, None, None]

        def log_sum(log_p: Tensor) -> Tensor:
            return log_p.masked_fill(absent, -torch.inf).logsumexp(dim=1)

        if self.config.task == "labels":
            return log_sum(F.logsigmoid(votes)) - log_sum(F.logsigmoid(-votes))
        return log_sum(votes.log_softmax(dim=2)) - present.sum(dim=1).clamp(min=1).log()

    def contrastive(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, ""]:
        """GMC's loss on this method's representations, weighted.

        For each modality, the normalised temperature-scaled cross-entropy between a sample seen
        whole and seen through that modality alone, over samples with that modality and another.
        """
        several = available.sum(dim=1) >= 2
        whole = F.normalize(self._encode(inputs, available), dim=1)
        total = whole.sum() * 0.0
        for i, name in enumerate(self.names):
            rows = (available[:, i] & several).nonzero().squeeze(1)
            if len(rows) < 2:
                continue
            alone = torch.zeros_like(available[rows])
            alone[:, i] = True
            view = {
                n: x[rows] if n == name else torch.zeros_like(x[rows]) for n, x in inputs.items()
            }
            z = F.normalize(self._encode(view, alone), dim=1)
            total = total + nt_xent(whole[rows], z, self.config.contrastive_temperature)
        return self.config.contrastive_weight * total
