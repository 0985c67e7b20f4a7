"""Whether the settings of a classification run fit its data, asked before any work."""

from __future__ import annotations

from mmrl.classification.config import ClassificationConfig
from mmrl.classification.scores import draw_masks
from mmrl.data import ArrayData
from mmrl.data.dataset import DataSet
from mmrl.data.sets import load
from mmrl.methods import METHODS, Method
from mmrl.runs.device import check_device
from mmrl.runs.pretrained_encoder import pretrained_encoder
from mmrl.settings import ConfigError
from mmrl.subsets import chosen_subsets
from mmrl.training.augment import Augment
from mmrl.training.usable import check_enough, learnable

OTHER = ", or take a method that learns from incomplete samples, such as gmc_fused"


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
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"data: {error}") from error
    try:
        train = draw_masks(config, data)[0.0].apply(data).train
    except ValueError as error:
        raise ConfigError(f"missing: {error}") from error
    try:
        if config.encoder is not None:
            method = pretrained_encoder(config.encoder, data.modalities)
        else:
            method = METHODS[config.method](data.modalities, config.settings_for(data))
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"method: {error}") from error
    try:
        chosen_subsets([m.name for m in data.modalities], config.evaluate.subsets)
    except ValueError as error:
        raise ConfigError(f"evaluate: {error}") from error
    for part, settings in (("fit", config.fit), ("pretrain", config.pretrain)):
        try:
            Augment(settings.augment, data.modalities)
        except ValueError as error:
            raise ConfigError(f"{part}: {error}") from error
    if config.encoder is None:
        _check_training(config, method, train)
    if not config.is_supervised:
        check_enough(config.learner, train, "fit", config.fit.batch_size, OTHER)
    return data


def _check_training(config: ClassificationConfig, method: Method, train: ArrayData) -> None:
    part = "fit" if config.is_supervised else "pretrain"
    settings = getattr(config, part)
    check_enough(type(method), train, part, settings.batch_size, OTHER)
    usable = learnable(type(method), train)
    try:
        method.check_training(usable.available, settings.total_steps(len(usable)))
    except ValueError as error:
        raise ConfigError(f"method: {error}") from error
