"""SMIL: multimodal learning with severely missing modality."""
