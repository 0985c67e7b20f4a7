"""GMC (Geometric Multimodal Contrastive learning), and GMC with labels."""

from mmrl.methods.gmc.method import GMC, GMCConfig

__all__ = ["GMC", "GMCConfig"]
