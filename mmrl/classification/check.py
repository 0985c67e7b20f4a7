"""Whether the settings of a classification run fit its data, asked before any work."""

from __future__ import annotations

import numpy as np

from mmrl.classification.config import ClassificationConfig
from mmrl.classification.scores import draw_masks
from mmrl.data import ArrayData
from mmrl.data.dataset import DataError, DataSet
from mmrl.data.sets import load
from mmrl.methods import METHODS
from mmrl.methods.smil.config import SMILConfig
from mmrl.runs.device import check_device
from mmrl.runs.given_encoder import given_encoder
from mmrl.settings import ConfigError
from mmrl.training.augment import Augment


def check_classification(config: ClassificationConfig) -> DataSet:
    """Loads the data and tries what a run needs, to refuse bad settings before any work.

    Raises:
        ConfigError: The data cannot be loaded, rules do not fit them, or the method cannot learn
            from what they leave.
    """
    check_device(config.device)
    try:
        options = config.data.options
        data = load(config.data.name, config.data.path, **options)
    except (DataError, TypeError, ImportError) as error:
        raise ConfigError(f"data: {error}") from error
    try:
        train = draw_masks(config, data)[0.0].apply(data).train
    except ValueError as error:
        raise ConfigError(f"missing: {error}") from error
    try:
        if config.encoder is not None:
            given_encoder(config.encoder, data.modalities)
        else:
            METHODS[config.method](data.modalities, config.settings_for(data))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"method: {error}") from error
    for part, settings in (("fit", config.fit), ("pretrain", config.pretrain)):
        try:
            Augment(settings.augment, data.modalities)
        except ValueError as error:
            raise ConfigError(f"{part}: {error}") from error
    _check_enough(config, train)
    _check_steps(config, train)
    _check_clusters(config, train)
    return data


def _check_enough(config: ClassificationConfig, train: ArrayData) -> None:
    parts = [("fit", config.fit)]
    usable, which = len(train), "samples"
    other = ", or take a method that learns from incomplete samples, such as gmc_fused"
    if not config.is_supervised:
        usable, which = int(train.available.all(axis=1).sum()), "complete samples"
        parts += [("pretrain", config.pretrain)] * (config.encoder is None)
    for name, settings in parts:
        if usable < settings.batch_size:
            raise ConfigError(
                f"{config.method} learns from {which}, of which there are {usable} (of "
                f"{len(train)} in training): fewer than {name}.batch_size={settings.batch_size}. "
                f"Lower that{'' if config.is_supervised else other}"
            )


def _check_clusters(config: ClassificationConfig, train: ArrayData) -> None:
    settings = config.method_settings if config.encoder is None else None
    counts = train.available.sum(axis=0)
    if isinstance(settings, SMILConfig) and settings.clusters > min(counts):
        name = train.modalities[int(np.argmin(counts))].name
        raise ConfigError(
            f"method.clusters={settings.clusters} priors cannot be found in the {min(counts)} "
            f"samples that have {name!r}: set method.clusters lower"
        )


def _check_steps(config: ClassificationConfig, train: ArrayData) -> None:
    total, preparing = config.fit.total_steps(len(train)), config.preparing_steps
    if 0 < total <= preparing:
        raise ConfigError(
            f"method.pretrain_steps={preparing} leaves nothing of the {total} steps of fit: set "
            "fit.steps or fit.epochs higher, or method.pretrain_steps lower"
        )
