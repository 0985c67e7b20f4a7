"""Methods: ways to learn from modalities of which some may be missing."""

from mmrl.methods.dicmor import DiCMoR
from mmrl.methods.downstream import Downstream
from mmrl.methods.fusion_baselines import (
    ConcatFusion,
    LateFusion,
    MeanFilling,
    ModalityDropout,
    SumFusion,
    Unimodal,
    ZeroFilling,
)
from mmrl.methods.gmc import GMC
from mmrl.methods.gmc_fused import GMCFused
from mmrl.methods.gmc_supervised import GMCSupervised
from mmrl.methods.method import Method
from mmrl.methods.mla import MLA
from mmrl.methods.smil import SMIL
from mmrl.methods.supervised import Supervised

_ALL: tuple[type[Method], ...] = (
    GMC,
    GMCSupervised,
    GMCFused,
    Downstream,
    Unimodal,
    LateFusion,
    SumFusion,
    ConcatFusion,
    ZeroFilling,
    MeanFilling,
    ModalityDropout,
    SMIL,
    MLA,
    DiCMoR,
)
METHODS: dict[str, type[Method]] = {method.name: method for method in _ALL}

__all__ = ["METHODS", "Method", "Supervised"]
