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
    result = fit(
        method, data, config.fit.on(config.device), seed=seed % 2**31, state=state, on_step=on_step
    )
    return method, result


def probe(
    config: TrainConfig, method: Method, train: ArrayData, test: ArrayData
) -> dict[str, list[float]]:
    """How much of the environment's state can be read off the latents of each subset of sensors.

    The probe is trained on latents of complete observations only.

    Returns:
        R² of each output by condition; nothing where the environment's info has no `state`.
    """
    if train.target is None or test.target is None or train.target.ndim != 2:
        return {}
    angles = config.env.angles
    wanted = probe_targets(train.target, angles)
    names = method.names
    complete = encode(method, train, names)
    trained = Probe(complete, wanted, steps=config.evaluate.probe_steps, seed=config.seed)
    subsets = [names, *((name,) for name in names)] if len(names) > 1 else [names]
    return {
        "+".join(subset): trained.r2(
            encode(method, test, subset), probe_targets(test.target, angles)
        ).tolist()
        for subset in subsets
    }


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
