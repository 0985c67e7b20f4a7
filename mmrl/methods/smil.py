"""Multimodal learning with severely missing modality (SMIL).

Ma, Ren, Zhao, Tulyakov, Wu, Peng: "SMIL: Multimodal Learning with Severely Missing Modality",
AAAI 2021, https://arxiv.org/abs/2103.05677.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from mmrl.methods.method import MethodConfig
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.modality import Batch, Modality
from mmrl.nn.dropout import dropout
from mmrl.nn.priors import KINDS_OF_PRIORS, find_priors
from mmrl.nn.rows import on_rows
from mmrl.nn.trunks import build_trunk

CHUNK = 256
MIN_SIGMA = 1e-4
TINY = 1e-12
CHOICES = {
    "priors": KINDS_OF_PRIORS,
    "weights": ("gaussian", "convex"),
    "operation": ("add", "multiply"),
    "noise": ("learned", "unit"),
    "outer": ("both", "complete", "reconstructed"),
}


@dataclass(frozen=True)
class SMILConfig(SupervisedConfig):
    """Settings of SMIL; the defaults are the paper's, the other choices its ablations or its code.

    Args:
        common_dim: Width to which trunk features are mapped; None takes them as they are (the
            paper's digits), which is too much for large images.
        clusters: Priors per modality (K).
        priors: `kmeans` or `pca` over the features of complete samples.
        weights: Of the priors: `gaussian`, N(1, sigma) with predicted sigma (eq. 2), or `convex`,
            predicted, positive, with sum one (released code).
        regularize: Whether features are perturbed (eq. 3).
        operation: How: `add` or `multiply`.
        noise: Spread of the perturbation: `learned` (eq. 3) or `unit` (released code).
        meta: Whether the complete samples judge the weights after a step on the incomplete ones
            (eq. 4, algorithm 1); without it, both enter one loss.
        outer: What judges them. The likelihood of algorithm 1 has the complete sample and its
            drawn weights of priors, which nothing reads while nothing is missing: `both` judges
            each complete sample as it is and with features guessed as if modalities were missing,
            `complete` only as it is, `reconstructed` only guessed (released code).
        inner_weight: Of the inner step's loss in the outer objective. Algorithm 1 by the letter
            has none (0), so that samples that lack something count for nothing but the place where
            the gradient is taken, and what is predicted from one modality is hardly trained; the
            released code has 1.
        inner_steps: Steps on incomplete samples.
        inner_lr: Their rate (alpha).
        first_order: Leaves the second derivatives out.
        samples: Monte-Carlo samples in training (eq. 7).
        test_samples: The same in evaluation, drawn once; 0 takes the means instead.
        reconstruction_weight: Of eq. 1, as squared error.
        kl_weight: Of the divergence in eq. 7 from N(1, 1) for weights of priors and N(0, 1) for
            perturbations; the paper writes 1 there, has none in algorithm 1, and leaves the priors
            of both unsaid. As a sum over hundreds of dimensions, 1 would drown the task.
        distillation_weight: Of the squared distance between the features of complete samples as
            they are and guessed, where `outer` has both at hand (released code).
        dropout: Before the last layer.
        pretrain_steps: Updates on available and complete samples without any of this, at whose end
            the priors are found.

    Raises:
        ValueError: A value out of range, or an unknown choice.
    """

    common_dim: int | None = 128
    clusters: int = 10
    priors: str = "kmeans"
    weights: str = "gaussian"
    regularize: bool = True
    operation: str = "add"
    noise: str = "learned"
    meta: bool = True
    outer: str = "both"
    inner_weight: float = 1.0
    inner_steps: int = 1
    inner_lr: float = 1e-3
    first_order: bool = False
    samples: int = 1
    test_samples: int = 10
    reconstruction_weight: float = 1.0
    kl_weight: float = 1e-3
    distillation_weight: float = 0.01
    dropout: float = 0.5
    pretrain_steps: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting, known in CHOICES.items():
            if (value := getattr(self, setting)) not in known:
                raise ValueError(f"{setting} is {value!r}; known: {', '.join(known)}")
        if min(self.clusters, self.inner_steps, self.samples) < 1:
            raise ValueError("clusters, inner_steps and samples must be at least 1")
        if min(self.test_samples, self.pretrain_steps, self.inner_lr, self.inner_weight) < 0:
            raise ValueError(
                "test_samples, pretrain_steps, inner_lr and inner_weight must not be negative"
            )


class Pass(NamedTuple):
    """What one pass through the networks gives; the first axis of all is samples x batch.

    Attributes:
        joined: Features of all modalities after the first perturbation (f).
        latent: The hidden layer after the second (f1).
        logits: Predictions.
        kl: Divergence per row.
        reconstruction: Squared error of features that are there but were guessed, a mean.
    """

    joined: Tensor
    latent: Tensor
    logits: Tensor
    kl: Tensor
    reconstruction: Tensor


class Reading(NamedTuple):
    """What depends on the features alone: it is computed once for all views and samples.

    Attributes:
        h: Features of every modality, (batch, width), zeros where it is missing.
        spreads: Sigma of the weights of a modality's priors (eq. 2) from another one, by
            `<from>_<of>`, (batch, clusters).
        perturbation: Parameters of the first perturbation (eq. 3) from every modality.
    """

    h: list[Tensor]
    spreads: dict[str, Tensor]
    perturbation: list[Tensor]


class SMIL(Supervised):
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
    config: SMILConfig
    updates: Tensor
    test_noise: Tensor

    def __init__(self, modalities: Sequence[Modality], config: SMILConfig | None = None) -> None:
        super().__init__(modalities, config)
        if len(self.modalities) < 2:
            raise ValueError("SMIL reconstructs one modality from another and wants two or more")
        c = self.config
        self.trunks, self.widths = _trunks(self)
        joined = sum(self.widths)
        self.first = nn.Linear(joined, self.latent_dim)
        self.last = nn.Linear(self.latent_dim, self.outputs)
        # Only while pretraining: the unimodal stages that precede meta-learning.
        self.alone = nn.ModuleList(nn.Linear(width, self.outputs) for width in self.widths)
        self.reconstruct = nn.ModuleDict(
            {
                f"{i}_{k}": nn.Linear(width, c.clusters)
                for i, width in enumerate(self.widths)
                for k in range(len(self.widths))
                if k != i
            }
        )
        parts = 2 if c.noise == "learned" else 1
        self.perturb_joined = nn.ModuleList(
            nn.Linear(width, parts * joined) for width in self.widths if c.regularize
        )
        self.perturb_latent = (
            nn.Linear(joined, parts * self.latent_dim) if c.regularize else nn.Identity()
        )
        for i, width in enumerate(self.widths):
            self.register_buffer(f"priors_{i}", torch.zeros(c.clusters, width))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        generator = torch.Generator().manual_seed(0)
        size = len(self.widths) * c.clusters + joined + self.latent_dim
        noise = torch.randn(c.test_samples, size, generator=generator)
        noise = noise if c.test_samples else torch.zeros(1, size)
        self.register_buffer("test_noise", noise, persistent=False)

    @property
    def pretrained(self) -> bool:
        """Whether the priors have been found."""
        return int(self.updates) >= max(1, self.config.pretrain_steps)

    def features(self, inputs: Mapping[str, Tensor], available: Tensor) -> list[Tensor]:
        """Features of every modality, zeros where it is missing."""
        return [
            on_rows(self.trunks[name], inputs[name], available[:, i], self.widths[i])
            for i, name in enumerate(self.names)
        ]

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        available: Bool[Tensor, "batch modalities"],
        views: Sequence[Tensor] = (),
    ) -> tuple[Pass, ...]:
        """Passes with as many Monte-Carlo samples as the mode asks for.

        Args:
            inputs: Clean and scaled.
            available: The mask.
            views: Masks within `available`, each of which gets a pass of its own on the same
                features; none means one pass on `available`.
        """
        reading = self._read(self.features(inputs, available), available)
        return self._passes(reading, views or (available,))

    def _read(self, h: list[Tensor], available: Tensor) -> Reading:
        """Zeros, or what zeros give, where a modality is missing."""
        c = self.config
        spreads = {
            f"{i}_{k}": F.softplus(
                on_rows(self.reconstruct[f"{i}_{k}"], h[i], available[:, i], c.clusters)
            )
            for i in range(len(h))
            for k in range(len(h))
            if k != i
        }
        width = sum(self.widths) * (2 if c.noise == "learned" else 1)
        perturbation = [
            on_rows(layer, h[i], available[:, i], width)
            for i, layer in enumerate(self.perturb_joined)
        ]
        return Reading(h, spreads, perturbation)

    def _passes(self, reading: Reading, views: Sequence[Tensor]) -> tuple[Pass, ...]:
        """One pass for each mask, computed as one pass on all their rows."""
        if len(views) == 1:
            return (self._pass(reading, views[0]),)
        count = len(views)
        repeated = Reading(
            [_times(x, count) for x in reading.h],
            {key: _times(x, count) for key, x in reading.spreads.items()},
            [_times(x, count) for x in reading.perturbation],
        )
        together = self._pass(repeated, torch.cat(list(views)), count)
        # Rows are samples x views x batch.
        parts = [
            x.view(-1, count, len(views[0]), *x.shape[1:]).unbind(dim=1) for x in together[:-1]
        ]
        rows = [[x.flatten(0, 1) for x in part] for part in parts]
        return tuple(map(Pass, *rows, together.reconstruction.unbind()))

    def _pass(self, reading: Reading, available: Tensor, views: int = 0) -> Pass:
        """A pass; with `views`, of that many masks after each other, and as many errors."""
        noise = self._noise(len(available))
        times = len(noise) // len(available)
        sizes = [len(self.widths) * self.config.clusters, sum(self.widths), self.latent_dim]
        for_weights, for_joined, for_latent = noise.split(sizes, dim=1)
        mask = _times(available, times)
        h = [_times(x, times) for x in reading.h]
        guesses, kl = self._guess(reading.spreads, available, for_weights)
        reconstruction = self._reconstruction(h, guesses, mask, (times, max(1, views)))
        u = torch.cat(
            [torch.where(mask[:, i, None], x, guesses[i]) for i, x in enumerate(h)], dim=1
        )
        f, joined_kl = self._perturb(
            u,
            lambda: _times(_mean_over(torch.stack(reading.perturbation, dim=1), available), times),
            for_joined,
        )
        g = F.relu(self.first(f))
        latent, latent_kl = self._perturb(g, lambda: self.perturb_latent(f), for_latent)
        logits = self.last(dropout(latent, self.config.dropout, self.training))
        return Pass(
            f,
            latent,
            logits,
            kl + joined_kl + latent_kl,
            reconstruction if views else reconstruction.squeeze(0),
        )

    def _noise(self, batch: int) -> Float[Tensor, "rows size"]:
        if self.training:
            like = self.test_noise
            rows = self.config.samples * batch
            return torch.randn(rows, like.shape[1], device=like.device, dtype=like.dtype)
        # The same draws for every row: results do not depend on the rest of the batch.
        return self.test_noise.repeat_interleave(batch, dim=0)

    def _guess(
        self, spreads: Mapping[str, Tensor], available: Tensor, noise: Tensor
    ) -> tuple[list[Tensor], Float[Tensor, " rows"]]:
        """Eq. 2 for every modality from the others that are there, and its divergence."""
        clusters, times = self.config.clusters, len(noise) // len(available)
        guesses, kl = [], torch.zeros_like(noise[:, 0])
        for k in range(len(self.widths)):
            others = [i for i in range(len(self.widths)) if i != k]
            predicted = torch.stack([spreads[f"{i}_{k}"] for i in others], dim=1)
            spread = _times(_mean_over(predicted, available[:, others]), times)
            priors = self.get_buffer(f"priors_{k}")
            if self.config.weights == "convex":
                # All zeros where no other modality is there, and then nobody asks.
                weights = spread / spread.sum(dim=1, keepdim=True).clamp(min=TINY)
            else:
                # Eq. 2 sums over the priors; the mean keeps guesses in the range of features.
                spread = spread + MIN_SIGMA
                eps = noise[:, k * clusters : (k + 1) * clusters]
                weights = (1.0 + spread * eps) / clusters
                missing = _times(~available[:, k : k + 1], times).squeeze(1)
                kl = kl + missing * _divergence(torch.zeros_like(spread), spread)
            guesses.append(weights @ priors)
        return guesses, kl

    def _reconstruction(
        self, h: list[Tensor], guesses: list[Tensor], mask: Tensor, by_view: tuple[int, int]
    ) -> Float[Tensor, " views"]:
        """Eq. 1 on modalities that are there, guessed from the others that are."""
        rows = (mask & (mask.sum(dim=1, keepdim=True) > 1)).to(h[0].dtype)
        error = torch.stack(
            [
                (guess - x.detach()).square().mean(dim=1)
                for guess, x in zip(guesses, h, strict=True)
            ],
            dim=1,
        )
        count = rows.view(*by_view, -1, len(h)).sum(dim=(0, 2))
        total = (error * rows).view(*by_view, -1, len(h)).sum(dim=(0, 2))
        return (total / count.clamp(min=1)).mean(dim=1)

    def _perturb(
        self, x: Tensor, parameters: Callable[[], Tensor], noise: Tensor
    ) -> tuple[Tensor, Tensor | float]:
        """Eq. 3, and its divergence."""
        if not (self.config.regularize and self.pretrained):
            return x, 0.0
        if self.config.noise == "learned":
            mu, spread = parameters().chunk(2, dim=1)
            sigma = F.softplus(spread) + MIN_SIGMA
        else:
            mu = parameters()
            sigma = torch.ones_like(mu)
        r = F.softplus(mu + sigma * noise)
        return (x + r if self.config.operation == "add" else x * r), _divergence(mu, sigma)

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        (result,) = self.forward(inputs, available)
        return result.latent.view(-1, len(available), self.latent_dim).mean(dim=0)

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        (result,) = self.forward(inputs, available)
        samples = result.logits.view(-1, len(available), self.outputs).transpose(0, 1)
        return self.average(samples, torch.ones_like(samples[:, :, 0], dtype=torch.bool))

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The losses of the stage that training is in, without meta-learning."""
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
            terms[name] = self.task_loss(self.alone[i](h[i][rows]), y[rows])
        complete = available.all(dim=1)
        logits = self._pass(self._read(h, available), available).logits.view(
            -1, len(y), self.outputs
        )[0]
        return {"task": self.task_loss(logits[complete], y[complete]), **terms}

    def _weighted(self, result: Pass, y: Tensor) -> dict[str, Tensor]:
        """Eq. 7 and eq. 1 with their weights."""
        c = self.config
        repeated = y.repeat(len(result.logits) // len(y), *[1] * (y.dim() - 1))
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
        if self.config.meta and self.pretrained:
            terms = self._meta_update(batch)
        else:
            terms = super().update(batch)
        self.updates += 1
        if int(self.updates) == max(1, self.config.pretrain_steps):
            self.find_priors()
        return terms

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
        data = self.attached().data
        whole = batch.available.all(dim=1)
        lacking = int((~whole).sum()) - int(whole.sum())
        if data is None or lacking <= 0:
            return batch
        complete = np.flatnonzero(data.available.all(axis=1))
        if not len(complete):
            return batch
        drawn = complete[torch.randint(len(complete), (lacking,)).numpy()]
        more = data.batch(drawn).to(batch.available.device)
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
        none is, nothing judges and the terms are those without meta-learning.
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
            loss = self.task_loss(
                result.logits, y.repeat(self.config.samples, *[1] * (y.dim() - 1))
            )
            losses.append(loss)
            gradients: Sequence[Tensor | None] = torch.autograd.grad(
                loss,
                list(theta.values()),
                create_graph=not self.config.first_order,
                retain_graph=True,
                allow_unused=True,
            )
            # What the incomplete samples do not reach, such as a missing modality's trunk, stays.
            theta = {
                name: p if g is None else p - self.config.inner_lr * g
                for (name, p), g in zip(theta.items(), gradients, strict=True)
            }
        return theta, losses[0]

    def _main_parameters(self) -> dict[str, nn.Parameter]:
        """theta: all that is not psi (reconstruction and perturbation)."""
        main = ("trunks.", "first.", "last.")
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
    def find_priors(self) -> None:
        """Clusters the features of all training samples that have the modality.

        Raises:
            RuntimeError: The training loop hands out no data.
            ValueError: A modality has fewer samples than `clusters`.
        """
        data = self.attached().data
        if data is None:
            raise RuntimeError("SMIL finds its priors in the training data: Optimization.data")
        training = self.training
        self.eval()
        device = self.updates.device
        for i, name in enumerate(self.names):
            rows = np.flatnonzero(data.available[:, i])
            parts = [torch.zeros(0, self.widths[i], device=device)]
            for start in range(0, len(rows), CHUNK):
                inputs, _ = self.prepare(data.batch(rows[start : start + CHUNK]).to(device))
                parts.append(self.trunks[name](inputs[name]))
            found = len(rows) and torch.cat(parts).float()
            try:
                priors = find_priors(
                    torch.as_tensor(found), self.config.clusters, self.config.priors
                )
            except ValueError as error:
                raise ValueError(f"modality {name!r}: {error}") from error
            self.get_buffer(f"priors_{i}").copy_(priors)
        self.train(training)


def _trunks(method: SMIL) -> tuple[nn.ModuleDict, list[int]]:
    common = method.config.common_dim
    trunks, widths = {}, []
    for modality in method.modalities:
        trunk = build_trunk(modality, method.config.trunks.get(modality.name))
        features = trunk.features
        if common is not None:
            trunks[modality.name] = nn.Sequential(trunk, nn.Linear(features, common), nn.ReLU())
        else:
            trunks[modality.name] = nn.Sequential(trunk)
        widths.append(features if common is None else common)
    return nn.ModuleDict(trunks), widths


def _mean_over(x: Float[Tensor, "rows parts width"], mask: Tensor) -> Float[Tensor, "rows width"]:
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return (x * mask[:, :, None]).sum(dim=1) / count


def _times(x: Tensor, times: int) -> Float[Tensor, "rows width"] | Bool[Tensor, "rows width"]:
    """Rows for every Monte-Carlo sample, one sample after the other."""
    return x if times == 1 else x.repeat(times, 1)


def _divergence(mu: Tensor, sigma: Tensor) -> Float[Tensor, " rows"]:
    """KL of N(mu, sigma) from N(0, 1), or of N(1 + mu, sigma) from N(1, 1), per row."""
    return 0.5 * (sigma.square() + mu.square() - 1.0 - 2.0 * sigma.log()).sum(dim=1)


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
