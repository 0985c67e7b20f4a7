"""Methods: ways to learn from modalities of which some may be missing."""

from mmrl.methods.dicmor.method import DiCMoR
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
from mmrl.methods.gmc.fused import GMCFused
from mmrl.methods.gmc.method import GMC
from mmrl.methods.gmc.supervised import GMCSupervised
from mmrl.methods.method import Method
from mmrl.methods.mla.method import MLA
from mmrl.methods.simbamm import SimBaMM
from mmrl.methods.smil.method import SMIL
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
    SimBaMM,
    MLA,
    DiCMoR,
)
METHODS: dict[str, type[Method]] = {method.name: method for method in _ALL}

PREDICTOR = Downstream.name
"""The method that predicts from the representation of another one: made by `predictor_on`."""

predictor_on = Downstream.on

__all__ = ["METHODS", "PREDICTOR", "Method", "Supervised", "predictor_on"]
