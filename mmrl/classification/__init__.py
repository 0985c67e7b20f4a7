"""The classification task: a method on data with missing modalities, and its scores."""

from mmrl.classification.config import (
    ClassificationConfig,
    ClassifierConfig,
    DataConfig,
    MissingConfig,
    classification_from_mapping,
)
from mmrl.classification.entry import Classification

__all__ = [
    "Classification",
    "ClassificationConfig",
    "ClassifierConfig",
    "DataConfig",
    "MissingConfig",
    "classification_from_mapping",
]
