"""Pretraining of the encoder, and probes of what it represents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmrl.control.config import TrainConfig
from mmrl.data import ArrayData
from mmrl.methods import METHODS, Method
from mmrl.metrics.probes import Probe, probe_targets
from mmrl.runs.seeding import FITTING, stream
from mmrl.training.fit import FitResult, OnStep, fit
from mmrl.training.usable import learnable

LEAST_SAMPLES = 2


def pretrain(
    config: TrainConfig, data: ArrayData, state: Path | None, on_step: OnStep
) -> tuple[Method, FitResult]:
    """Trains the encoder, from where an earlier attempt stopped.

    Args:
        config: Configuration of the run.
        data: What it learns from.
        state: File of the resumable state.
        on_step: Called after every step.
    """
    seed = stream(config.seed, FITTING)
    torch.manual_seed(seed)
    method = METHODS[config.method](data.modalities, config.method_settings)
    usable = learnable(type(method), data)
    settings = config.fit.on(config.device)
    result = fit(method, usable, settings, seed=seed % 2**31, state=state, on_step=on_step)
    return method, result


def probe(
    config: TrainConfig, method: Method, train: ArrayData, test: ArrayData
) -> dict[str, list[float]]:
    """How much of the environment's state can be read off the latents of each subset of sensors.

    The probe is trained on latents of complete observations only, and measured on the samples that
    have the sensors.

    Returns:
        R² of each output by condition; nothing where the environment's info has no `state`.
    """
    train, test = with_state(train), with_state(test)
    train = train.subset(np.flatnonzero(train.available.all(axis=1)))
    if len(train) < LEAST_SAMPLES or len(test) < LEAST_SAMPLES:
        return {}
    assert train.target is not None
    angles = config.env.angles
    wanted = probe_targets(train.target, angles)
    names = method.names
    complete = encode(method, train, names)
    trained = Probe(complete, wanted, steps=config.evaluate.probe_steps, seed=config.seed)
    subsets = [names, *((name,) for name in names)] if len(names) > 1 else [names]
    found = {}
    for subset in subsets:
        columns = [names.index(name) for name in subset]
        shown = test.subset(np.flatnonzero(test.available[:, columns].all(axis=1)))
        if len(shown) >= LEAST_SAMPLES:
            assert shown.target is not None
            targets = probe_targets(shown.target, angles)
            found["+".join(subset)] = trained.r2(encode(method, shown, subset), targets).tolist()
    return found


def with_state(data: ArrayData) -> ArrayData:
    """The samples of which the environment told its state."""
    if data.target is None:
        return data.subset(np.arange(0))
    return data.subset(np.flatnonzero(np.isfinite(data.target).all(axis=1)))


@torch.inference_mode()
def encode(method: Method, data: ArrayData, names: Sequence[str], chunk: int = 512) -> Tensor:
    """Latents of data of which only some modalities are shown, on the CPU."""
    device = next(method.parameters()).device
    latents = []
    for start in range(0, len(data), chunk):
        batch = data.batch(np.arange(start, min(start + chunk, len(data)))).to(device)
        values = {name: batch.values[name] for name in names}
        latents.append(method.encode(values).float().cpu())
    return torch.cat(latents).clone()
