"""Methods: ways to learn from modalities of which some may be missing."""

from mmrl.methods.gmc import GMC
from mmrl.methods.method import Method

METHODS: dict[str, type[Method]] = {GMC.name: GMC}

__all__ = ["METHODS", "Method"]
