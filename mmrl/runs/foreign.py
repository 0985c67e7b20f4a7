"""Run folders of others: no module inside of one is imported."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


def keep_modules_out(folder: Path) -> None:
    """Refuses from now on to import what lies in a folder.

    The settings of a run name modules (of an environment, a wrapper, a condition of faults). Python
    looks for them in the working directory as well, in which run folders lie: whoever opens the run
    of somebody else would run programs that came with it. Modules elsewhere are imported, and
    importing runs them: they are the user's own.

    Args:
        folder: The run folder.
    """
    if _GUARD not in sys.meta_path:
        sys.meta_path.insert(0, _GUARD)
    _GUARD.folders.add(folder.resolve())


class _Guard(MetaPathFinder):
    def __init__(self) -> None:
        self.folders: set[Path] = set()

    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds nothing itself; refuses what would be found in a run folder."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None:
            return None
        places = [*(spec.submodule_search_locations or ()), *filter(None, [spec.origin])]
        for place in map(Path, places):
            if any(place.resolve().is_relative_to(folder) for folder in self.folders):
                raise ImportError(
                    f"module {name!r} lies in a run folder ({place}), and nothing in one is run; "
                    "if it is your own, put it elsewhere",
                    name=name,
                )
        return None


_GUARD = _Guard()
