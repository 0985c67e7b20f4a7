"""The one training loop: pretraining on observations, and classification."""

from __future__ import annotations

import io
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from mmrl.checkpoint import CheckpointError
from mmrl.data.arrays import ArrayData
from mmrl.files import brief, read_bytes, write_atomically
from mmrl.methods.method import Method, Optimization
from mmrl.training.augment import Augment
from mmrl.training.config import OPTIMIZERS, FitConfig
from mmrl.training.processes import started_by
from mmrl.weights import MOST, load_tensors

OnStep = Callable[[int, Mapping[str, float]], None]
"""Called after every step with its number, counted from 1, and the terms of the loss."""

Validate = Callable[[int], float]
"""A score of the method as it is after so many steps, the higher the better."""


@dataclass
class FitResult:
    """What a training did.

    Attributes:
        steps: Steps in all, those of an interrupted run included; fewer than planned where
            validation stopped the training.
        losses: Terms of the loss by name, averaged over the last tenth of this process's steps.
        best_step: The step whose weights validated best, which the method has now; None where
            nothing was validated.
        best_score: Their score.
    """

    steps: int
    losses: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    best_score: float | None = None


def fit(
    method: Method,
    train: ArrayData,
    config: FitConfig,
    *,
    seed: int,
    state: Path | None = None,
    on_step: OnStep | None = None,
    validate: Validate | None = None,
) -> FitResult:
    """Trains a method in place.

    With `validate`, the method ends with the weights that scored best (of equal scores, the later),
    and training stops early where `config.patience` says so. Weights of the steps that only
    prepare (`Method.preparing_steps`) do not count.

    The order of samples depends on the seed and the step only, so a resumed run sees what an
    uninterrupted one would have seen.

    Args:
        method: What is trained; it stays on the device of the training, in evaluation mode.
        train: The data; complete observations, where the method wants them.
        config: Steps, rates, devices.
        seed: Seed of the order of samples and of what the method draws.
        state: File for the resumable state: read if it exists, rewritten every
            `config.save_every` seconds and at the end. The caller deletes it.
        on_step: Called after every step.
        validate: Scores the method, in evaluation mode, every `config.validate_every` steps and
            after the last one; it must not draw from torch's global generator.

    Raises:
        ValueError: The data do not fit the method or the batch size.
        CheckpointError: `state` is damaged, or belongs to another training.
        FloatingPointError: The loss became NaN or infinite.
    """
    _check(method, train, config)
    total = config.total_steps(len(train))
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=config.strategy,
        precision=config.precision,  # type: ignore[arg-type]
        plugins=started_by(),
    )
    fabric.launch()
    torch.manual_seed(seed + fabric.global_rank)
    if config.channels_last:
        method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    method.fit_inputs(train)
    augment = Augment(config.augment, train.modalities)
    augment.measure(train)
    # One kernel for all parameters; it cannot share the work of 16-mixed, the gradients' unscaling.
    fused = fabric.device.type in ("cpu", "cuda") and not config.precision.startswith("16")
    optimizer = OPTIMIZERS[config.optimizer](
        method.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=fused
    )
    module, wrapped = fabric.setup(method, optimizer)
    module.mark_forward_method("losses")
    schedule = _schedule(optimizer, config, total)
    method.optimization = Optimization(fabric, module, wrapped, config.clip_norm, train, augment)
    best = _Best(method, config, validate, min(method.preparing_steps + 1, total), total)
    saved = _State(method, optimizer, schedule, best, state, [seed, total, len(train)])
    start = saved.restore()
    try:
        return _run(method, train, augment, config, (seed, start, total), fabric, saved, on_step)
    finally:
        method.optimization = None
        method.eval()


def _run(
    method: Method,
    train: ArrayData,
    augment: Augment,
    config: FitConfig,
    span: tuple[int, int, int],
    fabric: Fabric,
    saved: _State,
    on_step: OnStep | None,
) -> FitResult:
    seed, start, total = span
    best, number = saved.best, start
    last_saved = time.monotonic()
    recent: deque[Mapping[str, float]] = deque(maxlen=max(1, total // 10))
    share = slice(fabric.global_rank, None, fabric.world_size)
    method.train()
    for rows in sample_order(len(train), config.batch_size, seed, start, total):
        if best.given_up(number):
            break
        batch = augment(train.batch(rows[share]).to(fabric.device))
        terms = method.update(batch)
        number += 1
        if not math.isfinite(terms["loss"]):
            raise FloatingPointError(
                f"the loss became {terms['loss']} at step {number}: lower lr, set clip_norm, or "
                "look for extreme values in the data"
            )
        saved.schedule.step()
        recent.append(terms)
        best.look(number, fabric)
        if on_step is not None:
            on_step(number, terms)
        if time.monotonic() - last_saved > config.save_every and fabric.is_global_zero:
            saved.write(number)
            last_saved = time.monotonic()
    if fabric.is_global_zero:
        saved.write(number)
    best.take_back()
    # Stages of a method differ in terms, and so do batches with and without something missing.
    names = dict.fromkeys(key for terms in recent for key in terms)
    means = {key: float(np.mean([t[key] for t in recent if key in t])) for key in names}
    found = (best.step, best.score) if best.step else (None, None)
    return FitResult(number, means, *found)


def sample_order(
    samples: int, batch_size: int, seed: int, start: int, total: int
) -> Iterator[NDArray[np.intp]]:
    """Rows of the batches of steps `start` to `total`: each epoch is one permutation, cut up."""
    per_epoch = samples // batch_size
    epoch, order = -1, np.empty(0, np.intp)
    for step in range(start, total):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = np.random.default_rng([seed, epoch]).permutation(samples)
        place = step % per_epoch * batch_size
        yield order[place : place + batch_size]


class _Best:
    """The weights that validated best so far, and when to stop waiting for better ones."""

    def __init__(
        self,
        method: Method,
        config: FitConfig,
        validate: Validate | None,
        first: int,
        total: int,
    ) -> None:
        self.method = method
        self.config = config
        self.validate = validate
        self.first = first
        self.total = total
        self.step = 0
        self.score = -math.inf
        self.misses = 0
        self.weights: dict[str, torch.Tensor] = {}

    def look(self, step: int, fabric: Fabric) -> None:
        """Validates after a step that is due."""
        due = step % self.config.validate_every == 0 or step == self.total
        if self.validate is None or step < self.first or not due:
            return
        self.method.eval()
        # All ranks stop together, on the word of the first.
        score = float(fabric.broadcast(self.validate(step)))
        self.method.train()
        if score < self.score or math.isnan(score):
            self.misses += 1
            return
        self.step, self.score, self.misses = step, score, 0
        self.weights = {key: x.detach().clone() for key, x in self.method.state_dict().items()}

    def given_up(self, step: int) -> bool:
        """Whether training stops before it has done all steps."""
        patience = self.config.patience
        return patience is not None and step >= self.first and self.misses >= patience

    def take_back(self) -> None:
        """Gives the method the best weights, where there was something to compare."""
        if self.step:
            self.method.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "score": self.score,
            "misses": self.misses,
            "weights": self.weights,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.step, self.score = int(state["step"]), float(state["score"])
        self.misses, self.weights = int(state["misses"]), dict(state["weights"])


class _State:
    """What a killed training needs to go on."""

    def __init__(
        self,
        method: Method,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        best: _Best,
        path: Path | None,
        identity: list[int],
    ) -> None:
        self.method = method
        self.optimizer = optimizer
        self.schedule = schedule
        self.best = best
        self.path = path
        self.identity = identity

    def write(self, step: int) -> None:
        if self.path is None:
            return
        content: dict[str, Any] = {
            "identity": self.identity,
            "step": step,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best.state(),
            "random": torch.get_rng_state(),
        }
        write_atomically(self.path, _torch_bytes(content))

    def restore(self) -> int:
        """The number of steps that are already done."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            content = load_tensors(read_bytes(self.path, MOST))
            if content["identity"] != self.identity:
                raise CheckpointError(
                    f"{self.path} is the state of another training (seed, steps, samples: "
                    f"{content['identity']}, here {self.identity}); delete it to start anew"
                )
            self.method.load_state_dict(content["method"])
            for group in content["optimizer"]["param_groups"]:
                # Whether that may be depends on the device and the precision, which may differ.
                group["fused"] = self.optimizer.defaults["fused"]
            self.optimizer.load_state_dict(content["optimizer"])
            _match_layouts(self.optimizer)
            self.schedule.load_state_dict(content["schedule"])
            self.best.load(content["best"])
            torch.set_rng_state(content["random"])
            return int(content["step"])
        except CheckpointError:
            raise
        except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} is damaged ({brief(error)}); delete it to start this training anew"
            ) from error


def _match_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Fused optimisers read state and parameters side by side, whatever their memory format."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter).copy_(value)


def _torch_bytes(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def _schedule(
    optimizer: torch.optim.Optimizer, config: FitConfig, total: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if config.schedule == "one_cycle":
        # One more than is taken: the scheduler also steps after the last update.
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.lr, total_steps=total + 1, pct_start=config.warmup
        )
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def _check(method: Method, train: ArrayData, config: FitConfig) -> None:
    if method.modalities != train.modalities:
        raise ValueError(
            f"the method sees {[*method.modalities]}, the data have {[*train.modalities]}"
        )
    if len(train) < config.batch_size:
        raise ValueError(f"{len(train)} samples do not fill a batch of {config.batch_size}")
