"""Distribution-consistent modal recovering for incomplete multimodal learning (DiCMoR).

Wang, Cui, Li: "Distribution-Consistent Modal Recovering for Incomplete Multimodal Learning", ICCV
2023.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmrl.methods.dicmor.config import DiCMoRConfig
from mmrl.methods.dicmor.flows import ParallelGlow
from mmrl.methods.dicmor.packing import Packing
from mmrl.methods.dicmor.refiner import ParallelRefiner
from mmrl.methods.method import MethodConfig
from mmrl.methods.supervised import Supervised
from mmrl.modality import Batch, Modality, mark_missing
from mmrl.nn.residual_head import Residual
from mmrl.nn.rows import on_rows
from mmrl.nn.subsets import hide
from mmrl.nn.tokens import common_steps, sequence_encoder
from mmrl.nn.transformers import MultimodalTransformer


class DiCMoR(Supervised):
    """Recovers a missing modality's features by the flow of an available one and its own, backward.

    Flows map each modality's features to latents of the same distribution. What is missing gets
    the latents of what is there through its own inverse flow, then a refining network; the fusion
    sees complete features. Labels are needed for the flows' training alone.

    Args:
        modalities: What it sees, at least two.
        config: See `DiCMoRConfig`.

    Raises:
        ValueError: There are fewer than two modalities, or a sequence is shorter than the kernel.
    """

    name: ClassVar[str] = "dicmor"
    Config: ClassVar[type[MethodConfig]] = DiCMoRConfig
    config: DiCMoRConfig
    updates: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, modalities: Sequence[Modality], config: DiCMoRConfig | None = None) -> None:
        super().__init__(modalities, config)
        count, c = len(self.modalities), self.config
        if count < 2:
            raise ValueError("DiCMoR recovers one modality from another and wants two or more")
        self.steps = c.steps or common_steps(self.modalities, c.kernel, c.encoders)
        self.encoders = nn.ModuleDict(
            {
                m.name: sequence_encoder(m, c.width, self.steps, c.kernel, c.encoders.get(m.name))
                for m in self.modalities
            }
        )
        self.flows = ParallelGlow(count, c.width, c.couplings, c.hidden, mixing=c.flow == "glow")
        classes = 1 if c.condition == "none" else self._count_classes()
        own = count if c.condition == "flow" else 1
        self.prior_mean = nn.Parameter(torch.zeros(own, classes, c.width))
        self.prior_log_std = nn.Parameter(torch.zeros(own, classes, c.width))
        self.combine = (
            nn.Conv1d(count * (count - 1) * c.width, count * c.width, 1, groups=count)
            if count > 2
            else nn.Identity()
        )
        self.refiner = (
            ParallelRefiner(count, c.width, c.refiner_blocks) if c.refiner_blocks else nn.Identity()
        )
        self.fusion = MultimodalTransformer(
            [self.steps] * count,
            c.width,
            c.heads,
            c.layers,
            attention_dropout=[c.attention_dropout] * count,
            memory_dropout=c.attention_dropout,
            embedding_dropout=c.embedding_dropout,
            readout=c.readout,
        )
        fused = self.fusion.features
        self.residual = Residual(fused, c.output_dropout)
        self.to_latent = (
            nn.Identity() if fused == self.latent_dim else nn.Linear(fused, self.latent_dim)
        )
        self.out = nn.Linear(self.latent_dim, self.outputs)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        # Of each modality's features in training.
        self.register_buffer("lowest", torch.full((count, c.width), math.inf))
        self.register_buffer("highest", torch.full((count, c.width), -math.inf))

    def _count_classes(self) -> int:
        if self.config.task == "regression":
            return 2 * self.config.class_range + 1
        return self.outputs

    @property
    def preparing_steps(self) -> int:
        """The setting `pretrain_steps`."""
        return self.config.pretrain_steps

    @property
    def pretrained(self) -> bool:
        """Whether training has come to the recovery."""
        return int(self.updates) >= self.config.pretrain_steps

    def classes(self, y: Tensor) -> Int[Tensor, " batch"]:
        """The class of each target: itself, or the first number rounded (half to even)."""
        if self.config.condition == "none":
            return torch.zeros(len(y), dtype=torch.long, device=y.device)
        if self.config.task == "regression":
            limit = self.config.class_range
            return y[:, 0].round().clamp(-limit, limit).long() + limit
        return y

    @property
    def holds_features(self) -> bool:
        """Whether encoders learn no more, so that flows model features that stay as they are."""
        return self.pretrained and self.config.pretrain_steps > 0

    def train(self, mode: bool = True) -> DiCMoR:
        """As every module, but encoders that learn no more evaluate: batch statistics stay, too."""
        super().train(mode)
        self.encoders.train(mode and not self.holds_features)
        return self

    def features(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        """Features (modalities, batch, width, steps), zeros where missing."""
        shape = (self.config.width, self.steps)
        x = torch.stack(
            [
                on_rows(self.encoders[name], inputs[name], available[:, i], *shape)
                for i, name in enumerate(self.names)
            ]
        )
        return x.detach() if self.holds_features else x

    def latents(
        self, x: Float[Tensor, "modalities batch width steps"]
    ) -> tuple[Float[Tensor, "modalities batch width steps"], Float[Tensor, "modalities batch"]]:
        """What each modality's flow makes of its features, and the logarithm of its determinant."""
        z, log_det = self.flows(_flat(x))
        batch, steps = x.shape[1], x.shape[3]
        return _unflat(z, batch), log_det.unflatten(1, (batch, steps)).sum(dim=2)

    def densities(
        self,
        z: Float[Tensor, "modalities batch width steps"],
        log_det: Float[Tensor, "modalities batch"],
        classes: Int[Tensor, " batch"],
    ) -> Float[Tensor, "modalities batch"]:
        """Negative log-likelihood of features given the class, in bits per dimension.

        Args:
            z: Their `latents`.
            log_det: Returned with these.
            classes: Classes of the samples.
        """
        mean = self.prior_mean[:, classes, :, None]
        log_std = self.prior_log_std[:, classes, :, None]
        normal = -0.5 * (((z - mean) * (-log_std).exp()).square() + math.log(2 * math.pi)) - log_std
        total: Tensor = normal.sum(dim=(2, 3)) + log_det
        return -total / (math.log(2) * z.shape[2] * z.shape[3])

    def infer_classes(
        self, z: Float[Tensor, "modalities batch width steps"], available: Tensor
    ) -> Float[Tensor, "batch classes"]:
        """Probability of each class given the latents of what is available (Bayes, all alike)."""
        inverse = (-2.0 * self.prior_log_std).exp()
        # The squared distance to every class's mean, summed over steps, in three products.
        ones = z.new_ones(z.shape[0], z.shape[1], z.shape[2]) * z.shape[3]
        moments = (z.square().sum(dim=3), z.sum(dim=3), ones)
        factors = (
            inverse,
            -2.0 * self.prior_mean * inverse,
            self.prior_mean.square() * inverse + 2.0 * self.prior_log_std,
        )
        distance = torch.stack(
            [m @ f.transpose(1, 2) for m, f in zip(moments, factors, strict=True)]
        ).sum(dim=0)
        return (-0.5 * (distance * available.T[:, :, None]).sum(dim=0)).softmax(dim=1)

    @torch.no_grad()
    def transfer(
        self,
        x: Float[Tensor, "modalities batch width steps"],
        available: Tensor,
        wanted: Tensor | None = None,
        z: Tensor | None = None,
    ) -> Float[Tensor, "modalities sources batch width steps"]:
        """Every modality's features as made from each other one, zeros where that is missing.

        No gradient: flows learn their densities, not to please what comes after them.

        Args:
            x: Features.
            available: Mask (batch, modalities) of what may be a source.
            wanted: Mask (batch, modalities) of what is to be made; None: everything.
            z: Latents of the features, where they are known already.
        """
        count, batch = x.shape[:2]
        z = _unflat(self.flows(_flat(x))[0], batch) if z is None else z.detach()
        others = torch.tensor([[j for j in range(count) if j != i] for i in range(count)])
        needed = available.T[others]
        if wanted is not None:
            needed = needed & wanted.T[:, None]
        made = z.new_zeros(count, count - 1, batch, *z.shape[2:])
        if not bool(needed.any()):
            return made
        packing = Packing(needed.flatten(1))
        moved = packing.pack(z[others].flatten(1, 2))
        if self.config.condition == "flow":
            probability = self.infer_classes(z, available)
            scale = (self.prior_log_std[:, None] - self.prior_log_std[others]).exp()
            shift = self.prior_mean[:, None] - scale * self.prior_mean[others]
            by_class = (probability @ torch.cat([scale, shift], dim=3)).flatten(1, 2)
            scale, shift = packing.pack(by_class)[..., None].chunk(2, dim=2)
            moved = scale * moved + shift
        back = self.flows.inverse(_flat(moved), packing.chosen_groups)
        made = packing.unpack(_unflat(back, moved.shape[1]), made.flatten(1, 2)).view_as(made)
        return self._within_seen(made) * needed[..., None, None]

    def _within_seen(
        self, made: Float[Tensor, "modalities sources batch width steps"]
    ) -> Float[Tensor, "modalities sources batch width steps"]:
        """Values that no feature ever had in training become the nearest one that some had.

        What a flow never saw can come out of its inverse larger by any factor (Behrmann et al.:
        "Understanding and mitigating exploding inverses in invertible neural networks", 2021).
        """
        known = self.lowest <= self.highest
        low = self.lowest.where(known, -math.inf)[:, None, None, :, None]
        high = self.highest.where(known, math.inf)[:, None, None, :, None]
        return made.clamp(low, high)

    @torch.no_grad()
    def _see(self, x: Float[Tensor, "modalities batch width steps"], known: Tensor) -> None:
        missing = ~known.T[:, :, None, None]
        lowest = x.masked_fill(missing, math.inf).amin(dim=(1, 3))
        highest = x.masked_fill(missing, -math.inf).amax(dim=(1, 3))
        self.lowest.copy_(torch.minimum(self.lowest, lowest))
        self.highest.copy_(torch.maximum(self.highest, highest))

    def recover(
        self,
        x: Float[Tensor, "modalities batch width steps"],
        available: Tensor,
        z: Tensor | None = None,
    ) -> Float[Tensor, "modalities batch width steps"]:
        """The features, those of missing modalities guessed from the available others and refined.

        Args:
            x: Features.
            available: Mask (batch, modalities), not true everywhere.
            z: Latents of the features, where they are known already.
        """
        made = self.transfer(x, available, ~available, z)
        guess = made.sum(dim=1)
        count, batch = x.shape[:2]
        if count > 2:
            side_by_side = made.permute(2, 0, 1, 3, 4).flatten(1, 3)
            joined = self.combine(side_by_side).view(batch, count, *x.shape[2:]).transpose(0, 1)
            sources = available.sum(dim=1) - available.T.long()
            guess = torch.where((sources > 1)[:, :, None, None], joined, guess)
        missing = Packing(~available.T)
        refined = missing.pack(guess)
        if self.config.refiner_blocks:
            refined = self.refiner(refined, missing.chosen_groups)
        return missing.unpack(refined, x)

    def _fuse(self, x: Float[Tensor, "modalities batch width steps"]) -> Tensor:
        h = self.fusion([one.transpose(1, 2) for one in x.unbind()])
        latent: Tensor = self.to_latent(self.residual(h))
        return latent

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        x = self.features(inputs, available)
        if self.pretrained and not bool(available.all()):
            x = self.recover(x, available)
        return self._fuse(x)

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        prediction: Tensor = self.out(self._encode(inputs, available))
        return prediction

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """As every method has them; with ground truth, also values under a false mask teach.

        Raises:
            ValueError: The batch has no target, or one that does not fit the task.
        """
        if self.config.no_ground_truth:
            return super().losses(batch)
        y = self._checked_target(batch)
        everything, known = mark_missing(batch.values, None, self.modalities)
        available = known & batch.available
        rows = available.any(dim=1)
        true = {name: x[rows] for name, x in self.scale(everything).items()}
        terms = self._all_terms(true, available[rows], known[rows], y[rows])
        if self.config.contrastive_weight:
            terms["contrastive"] = self.contrastive(true, available[rows])
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss, the flows' densities and the error of what was recovered."""
        return self._all_terms(inputs, available, available, y)

    def _all_terms(
        self, inputs: Mapping[str, Tensor], available: Tensor, known: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """`terms`, where `known` says whose values may be looked at, beyond what is available."""
        x = self.features(inputs, known)
        kept = hide(available, self.config.hide_rate) if self.training else available
        if not self.pretrained:
            seen = x * kept.T[:, :, None, None]
            return {"task": self.task_loss(self.out(self._fuse(seen)), y)}
        if self.training:
            self._see(x, known)
            self.flows.initialize(_flat(x), known.T.repeat_interleave(self.steps, dim=1))
        z, log_det = self.latents(x.detach())
        terms = {"density": self._density(z, log_det, known, y)}
        if not bool(kept.all()):
            truth = x.detach()
            x = self.recover(x, kept, z)
            error = (x - truth).square().mean(dim=(2, 3))
            weight = self.config.reconstruction_weight
            terms["reconstruction"] = weight * _mean_over_hidden(error, known & ~kept)
        return {"task": self.task_loss(self.out(self._fuse(x)), y), **terms}

    def _density(self, z: Tensor, log_det: Tensor, known: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Mean bits per dimension of each modality over the samples that have it, added up."""
        bits = self.densities(z, log_det, self.classes(y))
        mean = (bits * known.T).sum(dim=1) / known.sum(dim=0).clamp(min=1)
        if self.config.floor_density:
            mean = mean.clamp(min=0.0)
        return self.config.density_weight * mean.sum()

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimisation step of the stage that training is in.

        Raises:
            RuntimeError: No training loop has attached its `optimization`.
        """
        terms = super().update(batch)
        self.updates += 1
        if int(self.updates) == self.config.pretrain_steps:
            self.train(self.training)
        return terms


def _mean_over_hidden(error: Tensor, hidden: Tensor) -> Float[Tensor, ""]:
    """The mean over a sample's hidden modalities, then over the samples that have any."""
    count = hidden.sum(dim=1)
    per_sample = (error.T * hidden).sum(dim=1) / count.clamp(min=1)
    return per_sample.sum() / (count > 0).sum().clamp(min=1)


def _flat(x: Float[Tensor, "groups batch width steps"]) -> Float[Tensor, "groups width positions"]:
    return x.transpose(1, 2).flatten(2)


def _unflat(
    x: Float[Tensor, "groups width positions"], batch: int
) -> Float[Tensor, "groups batch width steps"]:
    groups, width, positions = x.shape
    return x.view(groups, width, batch, positions // batch).transpose(1, 2)
