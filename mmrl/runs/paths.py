"""Paths in settings, as they are stored: where they lead does not change with the next run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATHS = (("encoder",), ("collect", "policy"), ("data", "path"))


def settled(content: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which paths that lead somewhere are absolute, and no links.

    `outputs/latest` points elsewhere as soon as a run begins, and a run may be continued from
    another folder.

    Args:
        content: The settings as plain data. What does not exist stays as it is, for messages.
    """
    made = dict(content)
    for *groups, name in PATHS:
        node = made
        for group in groups:
            if not isinstance(node.get(group), Mapping):
                break
            node[group] = dict(node[group])
            node = node[group]
        else:
            value = node.get(name)
            if isinstance(value, str) and value and Path(value).expanduser().exists():
                node[name] = str(Path(value).expanduser().resolve())
    return made
