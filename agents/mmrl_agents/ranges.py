"""Numbers that Stable-Baselines3 would take, and fail with later or learn nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WHOLE = {
    "batch_size": 1,
    "buffer_size": 1,
    "learning_starts": 0,
    "n_epochs": 1,
    "n_steps": 1,
    "policy_delay": 1,
    "target_update_interval": 1,
}
"""Least values of whole numbers."""
BOUNDS = {
    "clip_range": (0.0, math.inf),
    "ent_coef": (0.0, math.inf),
    "exploration_final_eps": (0.0, 1.0),
    "exploration_fraction": (0.0, 1.0),
    "exploration_initial_eps": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "gamma": (0.0, 1.0),
    "learning_rate": (0.0, math.inf),
    "max_grad_norm": (0.0, math.inf),
    "target_noise_clip": (0.0, math.inf),
    "target_policy_noise": (0.0, math.inf),
    "tau": (0.0, 1.0),
    "vf_coef": (0.0, math.inf),
}
POSITIVE = {"clip_range", "learning_rate", "max_grad_norm"}
"""Those that cannot be zero."""


def check_arguments(algorithm: str, arguments: Mapping[str, Any]) -> None:
    """Whether the numbers among an algorithm's arguments make sense.

    Raises:
        ValueError: One is of another type, or out of range.

    Example:
        >>> check_arguments("sac", {"gamma": 2})
        Traceback (most recent call last):
        ValueError: arguments.gamma of sac must be a number from 0 to 1, got 2
    """
    for name, value in arguments.items():
        if wanted := _wanted(name, value):
            raise ValueError(f"arguments.{name} of {algorithm} must be {wanted}, got {value!r}")


def check_widths(net_arch: Any) -> None:
    """Whether all layers have a width.

    Args:
        net_arch: What `policy_kwargs` has: a list of widths, or such lists by network.

    Raises:
        ValueError: One has none.
    """
    for widths in net_arch.values() if isinstance(net_arch, Mapping) else [net_arch]:
        listed = isinstance(widths, list | tuple)
        if not listed or any(not isinstance(width, int) or width < 1 for width in widths):
            raise ValueError(
                "policy_kwargs.net_arch must list widths of at least 1, or such lists by network, "
                f"got {net_arch!r}"
            )


def _wanted(name: str, value: Any) -> str | None:
    """What an argument should be; None where it is."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if name in WHOLE:
        fits = is_whole and value >= WHOLE[name]
        return None if fits else f"a whole number of at least {WHOLE[name]}"
    if name == "gradient_steps":
        return None if is_whole and (value > 0 or value == -1) else "at least 1, or -1"
    if name not in BOUNDS or (name == "ent_coef" and str(value).startswith("auto")):
        return None
    low, high = BOUNDS[name]
    fits = (is_whole or isinstance(value, float)) and low <= value <= high and value < math.inf
    if fits and not (name in POSITIVE and value == 0):
        return None
    least = "above 0" if name in POSITIVE else f"from {low:g}"
    return f"a number {least}" + ("" if high == math.inf else f" to {high:g}")
