"""Settings of the training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from mmrl.training.augment import Augmentation

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
SCHEDULES = ("constant", "one_cycle", "cosine")


@dataclass(frozen=True)
class FitConfig:
    """How a method is trained.

    Args:
        steps: Optimisation steps; or
        epochs: passes over the data. Exactly one of the two is set.
        batch_size: Samples per step, over all ranks together.
        optimizer: One of `OPTIMIZERS`.
        lr: Learning rate; its peak where the schedule varies it.
        weight_decay: Weight decay of the optimiser.
        schedule: `constant`, `one_cycle` (warm-up, then cosine to almost zero; Smith and Topin
            2017) or `cosine` (to zero).
        warmup: Share of the steps in which `one_cycle` rises, in (0, 1).
        clip_norm: Gradients are scaled down to this norm; None leaves them.
        accelerator: Accelerator of Lightning Fabric: cpu, cuda, mps, or auto: that of the run's
            `device`.
        devices: How many of them on each node.
        num_nodes: How many machines.
        strategy: Strategy of Lightning Fabric: auto, ddp, ...
        precision: Precision of Lightning Fabric: 32-true, bf16-mixed, 16-mixed, ...
        channels_last: Memory format of convolutions; faster on most processors.
        save_every: Seconds between resumable states, where a file for them is given.
        validate_every: Steps between validations, where there is something to validate by.
        patience: Validations in a row without a score as good as the best, after which training
            stops; None never stops early.
        augment: How training varies the values of a modality, by its name.

    Raises:
        ValueError: A value out of range, or an unknown name.
    """

    steps: int | None = 1500
    epochs: int | None = None
    batch_size: int = 64
    optimizer: str = "adam"
    lr: float = 3e-3
    weight_decay: float = 0.0
    schedule: str = "one_cycle"
    warmup: float = 0.15
    clip_norm: float | None = None
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    channels_last: bool = True
    save_every: float = 20.0
    validate_every: int = 50
    patience: int | None = None
    augment: dict[str, Augmentation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"set exactly one of steps and epochs (the other to null), got {self.steps} and "
                f"{self.epochs}"
            )
        if (self.steps or self.epochs or 0) < 1 or self.batch_size < 2:
            raise ValueError("steps or epochs must be positive and batch_size at least 2")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {self.optimizer!r}; known: {sorted(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}; known: {SCHEDULES}")
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup must lie between 0 and 1, got {self.warmup}")
        if not self.lr > 0 or self.weight_decay < 0:
            raise ValueError("lr must be positive and weight_decay not negative")
        if self.validate_every < 1 or (self.patience is not None and self.patience < 1):
            raise ValueError(
                "validate_every and patience must be at least 1 (patience null: no early stop), "
                f"got {self.validate_every} and {self.patience}"
            )

    def on(self, device: str) -> FitConfig:
        """These settings where the rest of a run is on a device, such as `cuda:1`, or `auto`."""
        if self.accelerator != "auto" or device == "auto":
            return self
        return replace(self, accelerator=device.partition(":")[0])

    def total_steps(self, samples: int) -> int:
        """Steps on a data set of so many samples; an incomplete last batch is left out."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 0) * max(1, samples // self.batch_size)
