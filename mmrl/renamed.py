"""Settings that had other names before: who gives an old one is told the new one.

The same table stands in CHANGELOG.md. A name's last part is what is looked up, because groups of
settings stand in several places (`agent` also in `collect.agent`).
"""

from __future__ import annotations

from collections.abc import Collection

RENAMED = {
    "agent.frames": "agent.total_timesteps",
    "agent.noise": "agent.action_noise",
    "agent.action_noise.decay_frames": "agent.action_noise.decay_timesteps",
    "agent.policy_kwargs.activation": "agent.policy_kwargs.activation_fn",
    "collect.policy_frames": "collect.warmup_timesteps",
    "comparison": "sweep",
    "comparison.methods": "sweep.runs",
    "comparison.variants": "sweep.runs",
    "method.trunks": "method.encoders",
}
"""Keys of settings, old and new."""

RENAMED_VALUES = {"collect.policy=partly_trained": "collect.policy=warmup"}
"""Values of settings, old and new."""

_LAST = {old.rpartition(".")[2]: new.rpartition(".")[2] for old, new in RENAMED.items()}


def new_name(key: str, known: Collection[str]) -> str | None:
    """What an unknown setting is called now.

    Args:
        key: Its name within its group.
        known: Names of the settings of that group.

    Returns:
        The new name, or None where the setting has never existed there.

    Example:
        >>> new_name("trunks", ["latent_dim", "encoders"])
        'encoders'
    """
    name = _LAST.get(key)
    return name if name in known else None
