"""Stable-Baselines3 on encoders that live with missing sensors."""
