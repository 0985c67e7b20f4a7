"""What the wrappers share: the channels of an observation and their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import gymnasium
from gymnasium import spaces
from numpy.typing import NDArray

AVAILABLE = "available"
"""Key of the availability mask in a Dict observation; never the name of a channel."""

Observation = dict[str, NDArray[Any]]
Channels = dict[str, spaces.Space[Any]]


def dict_channels(space: spaces.Space[Any], wrapper: str) -> Channels:
    """Return the channels of a Dict observation whose sensors have not failed yet.

    Raises:
        TypeError: The space is no Dict.
        ValueError: The observation already has an availability mask.
    """
    if not isinstance(space, spaces.Dict):
        raise TypeError(
            f"{wrapper} needs a Dict observation with one entry per channel, got {space}; before "
            "it, {name: split, slices: {arm: [0, 7], hand: [7, 9]}} (SplitObservation) names the "
            "parts of a flat Box, and {name: flatten} (FlattenDict) those of a Tuple"
        )
    refuse_mask(space.spaces, wrapper)
    return dict(space.spaces)


def named_channels(space: spaces.Space[Any], wrapper: str, name: str) -> Channels:
    """Return the channels of a Dict observation; any other becomes one channel of that name."""
    return dict_channels(
        space if isinstance(space, spaces.Dict) else spaces.Dict({name: space}), wrapper
    )


def named_values(observation: Any, name: str) -> dict[str, Any]:
    """Return a new Dict observation, the counterpart of :func:`named_channels`."""
    return dict(observation) if isinstance(observation, Mapping) else {name: observation}


def refuse_mask(names: Collection[str], wrapper: str) -> None:
    """Raise ValueError if sensors have failed below: the mask would not fit what is made here."""
    if AVAILABLE in names:
        raise ValueError(
            f"{wrapper} must wrap the environment before its sensors fail, got an observation "
            f"with a mask {AVAILABLE!r} beside {sorted(set(names) - {AVAILABLE})}; "
            "put the wrapper that lets sensors fail outermost"
        )


def check_known(names: Iterable[str], known: Collection[str], wrapper: str) -> None:
    """Raise ValueError for names of channels that do not exist."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{wrapper}: no channels {unknown}, the observation has {sorted(known)}")


def check_new(
    names: Iterable[str], existing: Collection[str], wrapper: str, *, dots: bool = False
) -> None:
    """Raise ValueError for names of new channels that are taken or reserved.

    Args:
        names: The new ones.
        existing: The others.
        wrapper: Who asks.
        dots: Whether names may have dots, which networks cannot: where they are the environment's.
    """
    for name in names:
        if name == AVAILABLE or not name or ("." in name and not dots):
            raise ValueError(
                f"{wrapper}: {name!r} cannot name a channel; {AVAILABLE!r}, empty names and dots "
                "are reserved"
            )
        if name in existing:
            raise ValueError(
                f"{wrapper}: a channel {name!r} exists already, choose another name than "
                f"{sorted(existing)}"
            )


def matching(patterns: Iterable[str], channels: Collection[str], wrapper: str) -> list[str]:
    """Return the channels that any of the patterns names; * stands for anything.

    Raises:
        ValueError: A pattern names none.
    """
    chosen = []
    for pattern in patterns:
        found = [name for name in channels if fnmatchcase(name, pattern)]
        if not found:
            raise ValueError(
                f"{wrapper}: no channel {pattern!r}, the observation has {sorted(channels)}"
            )
        chosen += found
    return sorted(set(chosen))


def channel_space(channels: Mapping[str, spaces.Space[Any]]) -> spaces.Space[Any]:
    """Return a Dict space with sorted keys, as Gymnasium sorts them."""
    return spaces.Dict(dict(sorted(channels.items())))


def class_names(env: gymnasium.Env[Any, Any]) -> list[str]:
    """Return the names of the bare environment's class and of its bases."""
    return [cls.__name__ for cls in type(env.unwrapped).__mro__]
