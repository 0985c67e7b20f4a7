"""Data in memory: arrays by modality, collected from environments or loaded from files."""

from mmrl.data.arrays import ArrayData
from mmrl.data.collect import collect

__all__ = ["ArrayData", "collect"]
