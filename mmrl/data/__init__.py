"""Data in memory: shipped, loaded from files, or collected from environments."""

from mmrl.data.arrays import ArrayData
from mmrl.data.collect import collect
from mmrl.data.custom import from_arrays
from mmrl.data.dataset import DataError, DataSet
from mmrl.data.sequences import Sequences
from mmrl.data.sets import LOADERS, load

__all__ = [
    "LOADERS",
    "ArrayData",
    "DataError",
    "DataSet",
    "Sequences",
    "collect",
    "from_arrays",
    "load",
]
