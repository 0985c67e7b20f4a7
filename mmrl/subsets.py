"""Subsets of sensors or modalities under which something is measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

ALL, SINGLE, LEAVE_ONE_OUT = "all", "single", "leave_one_out"
MOST = 5
"""So many sensors have all their subsets measured unless something else is asked for: 31."""

Subset = tuple[str, ...]


def subsets(names: Sequence[str]) -> tuple[Subset, ...]:
    """All non-empty subsets, the whole first, then the smaller ones, in the order of the names.

    Example:
        >>> ["+".join(s) for s in subsets(["l", "v", "a"])]
        ['l+v+a', 'l+v', 'l+a', 'v+a', 'l', 'v', 'a']
    """
    return tuple(s for size in range(len(names), 0, -1) for s in combinations(names, size))


def check_choice(choice: Any) -> None:
    """Whether a choice of subsets can be one, whatever the names.

    Raises:
        ValueError: It is none of those that `chosen_subsets` takes.
    """
    if choice is None or choice in (ALL, SINGLE, LEAVE_ONE_OUT):
        return
    listed = isinstance(choice, list | tuple) and len(choice) > 0
    if not listed or not all(_named(subset) for subset in choice):
        raise ValueError(
            f"subsets must be null, {ALL}, {SINGLE}, {LEAVE_ONE_OUT}, or a list of subsets such as "
            f"[camera+touch, camera], got {choice!r}"
        )


def chosen_subsets(names: Sequence[str], choice: Any = None) -> tuple[Subset, ...]:
    """The subsets that are measured, the whole always first.

    Args:
        names: All sensors, in their order.
        choice: `all`; `single`: each alone; `leave_one_out`: all but one; or a list of subsets,
            each a list of names or the names joined by a plus. None: all of up to `MOST` sensors,
            of more each alone and all but one.

    Raises:
        ValueError: Another choice, or a name that is unknown.

    Example:
        >>> ["+".join(s) for s in chosen_subsets(["l", "v", "a"], "leave_one_out")]
        ['l+v+a', 'l+v', 'l+a', 'v+a']
        >>> len(chosen_subsets([f"s{i}" for i in range(18)]))
        37
    """
    check_choice(choice)
    whole = tuple(names)
    alone: list[tuple[str, ...]] = [(name,) for name in names]
    others = [s for s in combinations(names, len(names) - 1) if s]
    match choice:
        case "all":
            return subsets(names)
        case "single":
            found = alone
        case "leave_one_out":
            found = others
        case None:
            found = list(subsets(names)) if len(names) <= MOST else [*others, *alone]
        case _:
            found = [_subset(subset, names) for subset in choice]
    return tuple(dict.fromkeys([whole, *found]))


def says_less(names: Sequence[str], choice: Any) -> str | None:
    """What is not measured because nothing was chosen, and how to choose it; None: nothing."""
    if choice is not None or len(names) <= MOST:
        return None
    return (
        f"of {len(names)} sensors, {2 ** len(names) - 1:,} subsets are possible: all of them, each "
        f"alone and all but one are measured; evaluate.subsets={ALL} measures all, a list some"
    )


def _named(subset: Any) -> bool:
    if isinstance(subset, str):
        return bool(subset)
    listed = isinstance(subset, list | tuple) and len(subset) > 0
    return listed and all(isinstance(name, str) for name in subset)


def _subset(given: str | Sequence[str], names: Sequence[str]) -> Subset:
    parts = given.split("+") if isinstance(given, str) else list(given)
    if unknown := sorted(set(parts) - set(names)):
        raise ValueError(f"subsets name {unknown}; there are {list(names)}")
    return tuple(name for name in names if name in parts)
