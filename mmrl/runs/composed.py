"""What Hydra composed, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmrl.data.sets import FILES
from mmrl.settings import ConfigError

_package = Path(__file__).resolve().parents[1]
_installed = _package / "configs"
CONFIGS = _installed if _installed.is_dir() else _package.parent / "configs"
"""Folder of the configuration files: in the package when installed, else in the checkout."""

Composed = Any
"""An `omegaconf.DictConfig`; its base classes are deprecated types, which beartype refuses."""


def to_plain(node: Composed) -> dict[str, Any]:
    """Resolves what Hydra composed into dicts, lists, strings and numbers.

    Raises:
        ConfigError: A value is missing (`???`) or refers to something that does not exist.
    """
    OmegaConf.register_new_resolver("shipped", _shipped, replace=True)
    try:
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(key + str(error).splitlines()[0]) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _shipped(name: str) -> str:
    """The file of a data set that is shipped: `${shipped:avmnist}` in a configuration."""
    return str(FILES / f"{name}.npz")
