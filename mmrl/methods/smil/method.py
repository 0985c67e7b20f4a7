"""Multimodal learning with severely missing modality (SMIL).

Ma, Ren, Zhao, Tulyakov, Wu, Peng: "SMIL: Multimodal Learning with Severely Missing Modality",
AAAI 2021, https://arxiv.org/abs/2103.05677.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from mmrl.methods.method import MethodConfig
from mmrl.methods.smil.config import SMILConfig
from mmrl.methods.smil.network import Pass, SMILNetwork
from mmrl.methods.smil.priors import find_priors
from mmrl.modality import Batch

CHUNK = 256
MOST_SAMPLES = 5000
LOOK_EVERY = 100
"""Updates after which guesses are measured where priors are held."""


class SMIL(SMILNetwork):
    """Guesses the features of missing modalities, perturbs all features, and learns to learn.

    The paper has two modalities of which always the same one is missing. Here any may be: the
    weights of a missing modality's priors are predicted from each available one and averaged, and
    so are the first perturbation's parameters; with two modalities this is the paper's model.

    Args:
        modalities: What it sees, at least two.
        config: See `SMILConfig`.

    Raises:
        ValueError: There are fewer than two modalities.
    """

    name: ClassVar[str] = "smil"
    Config: ClassVar[type[MethodConfig]] = SMILConfig

    @property
    def preparing_steps(self) -> int:
        """The setting `pretrain_steps`."""
        return self.config.pretrain_steps

    def check_training(
        self, available: Bool[NDArray[np.bool_], "samples modalities"], steps: int
    ) -> None:
        """Refuses also fewer samples of a modality than it is to have priors.

        Args:
            available: The mask of the training data.
            steps: How many updates there will be.

        Raises:
            ValueError: The settings do not fit the data or the steps; the setting is named.
        """
        super().check_training(available, steps)
        counts = available.sum(axis=0)
        if self.config.clusters > min(counts):
            raise ValueError(
                f"clusters={self.config.clusters} priors cannot be found in the {min(counts)} "
                f"samples that have {self.names[int(np.argmin(counts))]!r}: set clusters lower"
            )

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The losses of the stage that training is in; of the second, those without any guess."""
        if not self.pretrained:
            return self._pretraining(inputs, available, y)
        (result,) = self.forward(inputs, available)
        return self._weighted(result, y)

    def _pretraining(
        self, inputs: Mapping[str, Tensor], available: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        h = self.features(inputs, available)
        terms = {}
        for i, name in enumerate(self.names):
            rows = available[:, i]
            terms[f"task_{name}"] = self.task_loss(self.alone[i](h[i][rows]), y[rows])
        complete = available.all(dim=1)
        (result,) = self.passes(self.read(h, available), (available,))
        logits = result.logits.view(self.draws, len(y), self.outputs)[0]
        return {"task": self.task_loss(logits[complete], y[complete]), **terms}

    def _weighted(self, result: Pass, y: Tensor) -> dict[str, Tensor]:
        """Eq. 7 and eq. 1 with their weights."""
        c = self.config
        repeated = y.repeat(self.draws, *[1] * (y.dim() - 1))
        terms = {"task": self.task_loss(result.logits, repeated)}
        if c.kl_weight:
            terms["kl"] = c.kl_weight * result.kl.mean()
        if c.reconstruction_weight:
            terms["reconstruction"] = c.reconstruction_weight * result.reconstruction
        return terms

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimisation step of the stage that training is in.

        Raises:
            RuntimeError: No training loop has attached its `optimization`, or it holds no data.
            ValueError: A modality has fewer samples than `clusters`.
        """
        terms = self._meta_update(batch) if self.pretrained else super().update(batch)
        self.updates += 1
        since = int(self.updates) - max(1, self.config.pretrain_steps)
        if since >= 0 and since % (self.config.refresh_every or LOOK_EVERY) == 0:
            self.find_priors(first=since == 0)
        return terms | {f"guess_r2_{name}": r2 for name, r2 in self.guess_r2.items()}

    def _meta_update(self, batch: Batch) -> dict[str, float]:
        optimization = self.attached()
        batch = self._with_complete_samples(batch)
        with optimization.autocast():
            terms = self.meta_terms(*self.labelled(batch))
            loss = torch.stack(list(terms.values())).sum()
        parameters = [p for p in self.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        optimization.descend(zip(parameters, gradients, strict=True))
        return {"loss": float(loss.detach())} | {n: float(t.detach()) for n, t in terms.items()}

    def _with_complete_samples(self, batch: Batch) -> Batch:
        """The batch with as many complete samples as incomplete ones, more drawn from the data.

        Algorithm 1 draws from both sets; where few samples are complete, chance would leave a
        batch with next to none.
        """
        optimization = self.attached()
        data = optimization.data
        whole = batch.available.all(dim=1)
        lacking = int((~whole).sum()) - int(whole.sum())
        if data is None or lacking <= 0:
            return batch
        complete = np.flatnonzero(data.available.all(axis=1))
        if not len(complete):
            return batch
        drawn = complete[torch.randint(len(complete), (lacking,)).numpy()]
        more = optimization.draw(drawn)
        assert batch.target is not None
        assert more.target is not None
        return Batch(
            {name: torch.cat([x, more.values[name]]) for name, x in batch.values.items()},
            torch.cat([batch.available, more.available]),
            torch.cat([batch.target, more.target]),
        )

    def meta_terms(
        self, inputs: Mapping[str, Tensor], available: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """Algorithm 1: the terms of the outer loss as functions of the weights before the step.

        Where all samples are complete, the inner step hides modalities of them at random; where
        none is, nothing judges and they all enter one loss.
        """
        complete = available.all(dim=1)
        if not bool(complete.any()):
            return self.terms(inputs, available, y)
        d_f = _take(inputs, available, y, complete)
        d_m = _take(inputs, available, y, ~complete)
        if not len(d_m[2]):
            d_m = d_f[0], _hide_one_or_more(d_f[1]), d_f[2]
        theta, inner = self._inner_steps(*d_m)
        terms = self._outer(theta, *d_f)
        if self.config.inner_weight:
            terms["inner"] = self.config.inner_weight * inner
        if self.config.contrastive_weight:
            terms["contrastive"] = self.contrastive(d_f[0], d_f[1])
        return terms

    def _inner_steps(
        self, inputs: Mapping[str, Tensor], available: Tensor, y: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """theta* and the loss of the first step on the incomplete samples."""
        theta: dict[str, Tensor] = {**self._main_parameters()}
        losses = []
        for _ in range(self.config.inner_steps):
            (result,) = functional_call(self, theta, (inputs, available))
            loss = self.task_loss(result.logits, y.repeat(self.draws, *[1] * (y.dim() - 1)))
            losses.append(loss)
            if not self.config.meta:
                break
            gradients: Sequence[Tensor | None] = torch.autograd.grad(
                loss,
                list(theta.values()),
                create_graph=not self.config.first_order,
                retain_graph=True,
                allow_unused=True,
            )
            # What the incomplete samples do not reach, such as a missing modality's encoder, stays.
            theta = {
                name: p if g is None else p - self.config.inner_lr * g
                for (name, p), g in zip(theta.items(), gradients, strict=True)
            }
        return theta, losses[0]

    def _main_parameters(self) -> dict[str, nn.Parameter]:
        """theta: all that is not psi (reconstruction and perturbation)."""
        main = ("encoders.", "first.", "last.")
        return {name: p for name, p in self.named_parameters() if name.startswith(main)}

    def _outer(
        self, theta: dict[str, Tensor], inputs: Mapping[str, Tensor], available: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """The complete samples judge theta*: seen whole, with features guessed, or both."""
        c = self.config
        views = (available,) if c.outer == "complete" else (available, _hide_one_or_more(available))
        seen, *guessed = functional_call(self, theta, (inputs, available, views))
        terms = {} if c.outer == "reconstructed" else self._weighted(seen, y)
        for result in guessed:
            for name, term in self._weighted(result, y).items():
                terms[f"guessed_{name}"] = term
            if c.distillation_weight:
                distance = F.mse_loss(result.joined, seen.joined)
                distance = distance + F.mse_loss(result.latent, seen.latent)
                terms["distillation"] = c.distillation_weight * distance
        return terms

    @torch.no_grad()
    def find_priors(self, first: bool = True) -> None:
        """Clusters the features of training samples that have the modality.

        Measures `guess_r2`, the guesses' coefficients of determination: of those in use until now,
        or with the first priors.

        Args:
            first: Whether there are none yet; others follow the encoders, or are held.

        Raises:
            RuntimeError: The training loop hands out no data.
            ValueError: A modality has fewer samples than `clusters`.
        """
        training = self.training
        self.eval()
        h, available = self._features_of_data()
        if not first:
            self.guess_r2 = self._guess_r2(h, available)
        if first or self.config.refresh_every:
            for i, name in enumerate(self.names):
                priors = self.get_buffer(f"priors_{i}")
                c, known = self.config, None if first else priors
                try:
                    found = find_priors(
                        h[i][available[:, i]].float(), c.clusters, c.priors, previous=known
                    )
                except ValueError as error:
                    raise ValueError(f"modality {name!r}: {error}") from error
                priors.copy_(found)
        if first:
            self.guess_r2 = self._guess_r2(h, available)
        self.train(training)

    def _features_of_data(self) -> tuple[list[Tensor], Tensor]:
        """Of training samples, of many those at even distances; and the mask."""
        data = self.attached().data
        if data is None:
            raise RuntimeError("SMIL finds its priors in the training data: Optimization.data")
        rows = np.arange(0, len(data.available), max(1, len(data.available) // MOST_SAMPLES))
        parts, masks = [], []
        for start in range(0, len(rows), CHUNK):
            batch = data.batch(rows[start : start + CHUNK]).to(self.updates.device)
            inputs, available = self.prepare(batch)
            parts.append(self.features(inputs, available))
            masks.append(available)
        return [torch.cat(h) for h in zip(*parts, strict=True)], torch.cat(masks)

    def _guess_r2(self, h: list[Tensor], available: Tensor) -> dict[str, float]:
        """Of each modality's expected guess from the others, over the samples that have both."""
        none = torch.zeros(len(available), len(h) * self.config.clusters, device=available.device)
        reading = self.read(h, available)
        guesses, _ = self._guess(reading.spreads, available, none, draws=1)
        found = {}
        for i, name in enumerate(self.names):
            rows = available[:, i] & (available.sum(dim=1) > 1)
            true = h[i][rows]
            spread = float((true - true.mean(dim=0)).square().sum()) if len(true) else 0.0
            if spread > 0:
                found[name] = 1 - float((guesses[i][rows] - true).square().sum()) / spread
        return found


def _take(
    inputs: Mapping[str, Tensor], available: Tensor, y: Tensor, rows: Tensor
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    return {name: x[rows] for name, x in inputs.items()}, available[rows], y[rows]


def _hide_one_or_more(available: Tensor) -> Tensor:
    """Keeps a random, non-empty, proper subset of the modalities of complete samples."""
    batch, modalities = available.shape
    keep = torch.randint(1, modalities, (batch, 1), device=available.device)
    rank = torch.rand(batch, modalities, device=available.device).argsort(dim=1).argsort(dim=1)
    return rank < keep
