"""Wrappers that make any environment multimodal."""
