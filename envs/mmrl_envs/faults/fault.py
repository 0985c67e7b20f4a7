"""Sensor faults: a mechanism at times of a pattern, on named channels, announced or not.

A specification is plain data, for example

    [{"pattern": "bernoulli", "rate": 0.3, "channels": ["image"]},
     {"pattern": "burst", "outage": 10, "uptime": 40, "mechanism": "freeze"}]

with the name of a pattern and its parameters, the name of a mechanism ("blackout" unless given)
and its parameters, the channels (all unless given; each fails on its own) and whether the faults
are announced. The same specification serves environments and data sets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from mmrl_envs.faults.mechanisms import (
    Bias,
    Blackout,
    Mechanism,
    Noise,
    NotANumber,
    SaltAndPepper,
    Saturation,
)
from mmrl_envs.faults.memory import Delay, Drift, Freeze, Occlusion
from mmrl_envs.faults.patterns import (
    Bernoulli,
    Burst,
    Episode,
    Fixed,
    Intervals,
    Pattern,
    Permanent,
    State,
)
from mmrl_envs.validation import is_list

PATTERNS: dict[str, type[Pattern]] = {
    "fixed": Fixed,
    "bernoulli": Bernoulli,
    "episode": Episode,
    "burst": Burst,
    "permanent": Permanent,
    "intervals": Intervals,
    "state": State,
}
MECHANISMS: dict[str, type[Mechanism]] = {
    "blackout": Blackout,
    "freeze": Freeze,
    "noise": Noise,
    "salt_and_pepper": SaltAndPepper,
    "bias": Bias,
    "drift": Drift,
    "delay": Delay,
    "occlusion": Occlusion,
    "saturation": Saturation,
    "nan": NotANumber,
}

Part = TypeVar("Part", Pattern, Mechanism)

_OWN_KEYS = ("pattern", "mechanism", "channels", "announced")


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Attributes:
        pattern: When it happens.
        mechanism: What happens.
        channels: Names of the channels that it happens to, each on its own; None for all.
        announced: Whether `available` tells. Values of a channel that is announced to fail are
            zeroed, whatever the mechanism. None stands for the mechanism's nature: a blackout is
            announced, everything else is not.

    Example:
        >>> Fault.from_spec({"pattern": "bernoulli", "rate": 0.3}).to_spec()
        {'pattern': 'bernoulli', 'rate': 0.3, 'mechanism': 'blackout', 'announced': True}
    """

    pattern: Pattern
    mechanism: Mechanism = field(default_factory=Blackout)
    channels: tuple[str, ...] | None = None
    announced: bool | None = None

    def __post_init__(self) -> None:
        if self.announced is None:
            object.__setattr__(self, "announced", self.mechanism.announces)
        if self.channels is not None and not self.channels:
            raise ValueError("channels must name at least one channel, or be None for all")
        if self.channels is not None and len(set(self.channels)) < len(self.channels):
            raise ValueError(f"channels must name each channel once, got {list(self.channels)}")

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Fault:
        """Build a fault from plain data.

        Raises:
            TypeError: A value has the wrong type.
            ValueError: A name is unknown, a parameter is missing, unknown or out of range.
        """
        if not isinstance(spec, Mapping):
            raise TypeError(
                f"a fault must be a mapping such as {{'pattern': 'fixed'}}, got {spec!r}"
            )
        pattern = _choose("pattern", spec.get("pattern"), PATTERNS)
        mechanism = _choose("mechanism", spec.get("mechanism", "blackout"), MECHANISMS)
        known = [*_OWN_KEYS, *_parameters(pattern), *_parameters(mechanism)]
        unknown = sorted(set(spec) - set(known))
        if unknown:
            raise ValueError(f"unknown keys {unknown} in the fault {dict(spec)}, known are {known}")
        channels = spec.get("channels")
        if channels is not None and not is_list(channels):
            raise TypeError(f"channels must be a list of names, got {channels!r}")
        announced = spec.get("announced")
        if not isinstance(announced, bool | None):
            raise TypeError(f"announced must be true or false, got {announced!r}")
        return cls(
            _build(pattern, spec),
            _build(mechanism, spec),
            None if channels is None else tuple(channels),
            announced,
        )

    def to_spec(self) -> dict[str, Any]:
        """Return plain data from which `from_spec` builds an equal fault."""
        spec = {"pattern": _name(self.pattern, PATTERNS), **_plain(self.pattern)}
        spec |= {"mechanism": _name(self.mechanism, MECHANISMS), **_plain(self.mechanism)}
        if self.channels is not None:
            spec["channels"] = list(self.channels)
        return spec | {"announced": self.announced}

    def on(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Return which of an observation's channels fail.

        Raises:
            ValueError: The fault names a channel that does not exist.
        """
        unknown = sorted(set(self.channels or ()) - set(channels))
        if unknown:
            raise ValueError(f"no channels {unknown}, the observation has {list(channels)}")
        return tuple(channels) if self.channels is None else self.channels


def make_faults(specs: Sequence[Fault | Mapping[str, Any]]) -> tuple[Fault, ...]:
    """Build faults from a list of specifications; faults pass unchanged.

    Raises:
        TypeError: It is not a list of mappings or faults.
        ValueError: See :meth:`Fault.from_spec`.

    Example:
        >>> [fault.channels for fault in make_faults([{"pattern": "fixed", "channels": ["image"]}])]
        [('image',)]
    """
    if not is_list(specs):
        raise TypeError(f"faults must be a list of faults, got {specs!r}")
    return tuple(spec if isinstance(spec, Fault) else Fault.from_spec(spec) for spec in specs)


def expected_rates(
    faults: Sequence[Fault], channels: Sequence[str], steps: int
) -> dict[str, float]:
    """Return the nominal rate of every channel, before `keep_at_least` spares any.

    A rate is the expected share of an episode's first `steps` observations in which any fault is
    active on the channel.

    Raises:
        ValueError: A fault depends on the state, or names a channel that does not exist.

    Example:
        >>> expected_rates(make_faults([{"pattern": "bernoulli", "rate": 0.5}] * 2), ["a"], 300)
        {'a': 0.75}
    """
    healthy = {channel: np.ones(steps) for channel in channels}
    for fault in faults:
        for channel in fault.on(channels):
            healthy[channel] = healthy[channel] * (1 - fault.pattern.probability(steps))
    return {channel: float(1 - share.mean()) for channel, share in healthy.items()}


def _choose(kind: str, name: object, known: Mapping[str, type[Part]]) -> type[Part]:
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{kind} must be one of {list(known)}, got {name!r}")
    return known[name]


def _parameters(kind: type[Any]) -> list[str]:
    return [parameter.name for parameter in dataclasses.fields(kind)]


def _build(kind: type[Any], spec: Mapping[str, Any]) -> Any:
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    missing = sorted(set(required) - set(spec))
    if missing:
        raise ValueError(f"the fault {dict(spec)} needs {missing}")
    return kind(**{name: spec[name] for name in _parameters(kind) if name in spec})


def _name(part: object, known: Mapping[str, type[Any]]) -> str:
    for name, kind in known.items():
        if type(part) is kind:
            return name
    raise ValueError(f"{part!r} has no name in a specification, named are {list(known)}")


def _plain(part: Any) -> dict[str, Any]:
    """Return the parameters as plain data."""
    values = {name: getattr(part, name) for name in _parameters(type(part))}
    if callable(values.get("condition")):
        raise ValueError(
            f"the condition {values['condition']!r} cannot be written down; "
            "give it as 'package.module:function'"
        )
    if "intervals" in values:
        values["intervals"] = [list(interval) for interval in values["intervals"]]
    return values
