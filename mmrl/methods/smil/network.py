"""The networks of SMIL: guesses of missing features, perturbed features, and the prediction.

Ma, Ren, Zhao, Tulyakov, Wu, Peng: "SMIL: Multimodal Learning with Severely Missing Modality",
AAAI 2021, https://arxiv.org/abs/2103.05677. How they are trained: `mmrl.methods.smil.method`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.methods.smil.config import SMILConfig
from mmrl.methods.supervised import Supervised
from mmrl.modality import Modality
from mmrl.nn.dropout import dropout
from mmrl.nn.encoders import build_encoder
from mmrl.nn.rows import on_rows

MIN_SIGMA = 1e-4
TINY = 1e-12


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


class SMILNetwork(Supervised, ABC):
    """What predicts; `mmrl.methods.smil.method.SMIL` adds what it learns from.

    The networks are one reading of the features (`read`) and any number of passes on it, one for
    each mask (`passes`): the joint features, perturbed (f); the hidden layer, perturbed (f1); and
    the prediction.

    Args:
        modalities: What it sees, at least two.
        config: See `SMILConfig`.

    Raises:
        ValueError: There are fewer than two modalities.
    """

    config: SMILConfig
    updates: Tensor
    test_noise: Tensor

    def __init__(self, modalities: Sequence[Modality], config: SMILConfig | None = None) -> None:
        super().__init__(modalities, config)
        if len(self.modalities) < 2:
            raise ValueError("SMIL reconstructs one modality from another and wants two or more")
        c = self.config
        self.encoders, self.widths = _encoders(self)
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
        self.guess_r2: dict[str, float] = {}
        generator = torch.Generator().manual_seed(0)
        size = len(self.widths) * c.clusters + joined + self.latent_dim
        noise = torch.randn(c.test_samples, size, generator=generator)
        noise = noise if c.test_samples else torch.zeros(1, size)
        self.register_buffer("test_noise", noise, persistent=False)

    @property
    def pretrained(self) -> bool:
        """Whether the priors have been found."""
        return int(self.updates) >= max(1, self.config.pretrain_steps)

    @property
    def draws(self) -> int:
        """Monte-Carlo samples per row in the present mode."""
        return self.config.samples if self.training else len(self.test_noise)

    def features(self, inputs: Mapping[str, Tensor], available: Tensor) -> list[Tensor]:
        """Features of every modality, zeros where it is missing."""
        return [
            on_rows(self.encoders[name], inputs[name], available[:, i], self.widths[i])
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
        reading = self.read(self.features(inputs, available), available)
        return self.passes(reading, views or (available,))

    def read(self, h: list[Tensor], available: Tensor) -> Reading:
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

    def passes(self, reading: Reading, views: Sequence[Tensor]) -> tuple[Pass, ...]:
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
            x.view(self.draws, count, len(views[0]), *x.shape[1:]).unbind(dim=1)
            for x in together[:-1]
        ]
        rows = [[x.flatten(0, 1) for x in part] for part in parts]
        return tuple(map(Pass, *rows, together.reconstruction.unbind()))

    def _pass(self, reading: Reading, available: Tensor, views: int = 0) -> Pass:
        """A pass; with `views`, of that many masks after each other, and as many errors."""
        noise = self._noise(len(available))
        times = self.draws
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
            rows = self.draws * batch
            return torch.randn(rows, like.shape[1], device=like.device, dtype=like.dtype)
        # The same draws for every row: results do not depend on the rest of the batch.
        return self.test_noise.repeat_interleave(batch, dim=0)

    def _guess(
        self,
        spreads: Mapping[str, Tensor],
        available: Tensor,
        noise: Tensor,
        draws: int | None = None,
    ) -> tuple[list[Tensor], Float[Tensor, " rows"]]:
        """Eq. 2 for every modality from the others that are there, and its divergence."""
        clusters, times = self.config.clusters, self.draws if draws is None else draws
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
        return result.latent.view(self.draws, len(available), self.latent_dim).mean(dim=0)

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        (result,) = self.forward(inputs, available)
        by_draw = result.logits.view(self.draws, len(available), self.outputs)
        samples = by_draw.transpose(0, 1)
        return self.average(samples, torch.ones_like(samples[:, :, 0], dtype=torch.bool))


def _encoders(method: SMILNetwork) -> tuple[nn.ModuleDict, list[int]]:
    common = method.config.common_dim
    encoders, widths = {}, []
    for modality in method.modalities:
        encoder = build_encoder(modality, method.config.encoders.get(modality.name))
        features = encoder.features
        if common is not None:
            encoders[modality.name] = nn.Sequential(encoder, nn.Linear(features, common), nn.ReLU())
        else:
            encoders[modality.name] = nn.Sequential(encoder)
        widths.append(features if common is None else common)
    return nn.ModuleDict(encoders), widths


def _mean_over(x: Float[Tensor, "rows parts width"], mask: Tensor) -> Float[Tensor, "rows width"]:
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return (x * mask[:, :, None]).sum(dim=1) / count


def _times(x: Tensor, times: int) -> Float[Tensor, "rows width"] | Bool[Tensor, "rows width"]:
    """Rows for every Monte-Carlo sample, one sample after the other."""
    return x if times == 1 else x.repeat(times, 1)


def _divergence(mu: Tensor, sigma: Tensor) -> Float[Tensor, " rows"]:
    """KL of N(mu, sigma) from N(0, 1), or of N(1 + mu, sigma) from N(1, 1), per row."""
    return 0.5 * (sigma.square() + mu.square() - 1.0 - 2.0 * sigma.log()).sum(dim=1)
