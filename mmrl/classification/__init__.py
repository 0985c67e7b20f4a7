"""The classification task: a method on data with missing modalities, and its scores."""

from mmrl.classification.config import (
    ClassificationConfig,
    ClassifierConfig,
    DataConfig,
    MissingConfig,
    classification_from_mapping,
)
from mmrl.classification.task import classify

__all__ = [
    "ClassificationConfig",
    "ClassifierConfig",
    "DataConfig",
    "MissingConfig",
    "classification_from_mapping",
    "classify",
]
