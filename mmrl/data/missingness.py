"""Rules for which modalities are missing in which samples of a data set.

A rule is plain data with the words that sensor faults have: `pattern`, `rate`, `channels`. What a
sensor's fault draws per step, a rule draws once per sample. At least one modality stays in every
sample: a rate that would leave fewer means that exactly one stays, as in the papers, and the
realised rate says what came out. Rate 0 means that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl.data import masks
from mmrl.data.arrays import ArrayData
from mmrl.data.sequences import Sequences
from mmrl.modality import measured, with_gaps
from mmrl.subsets import subsets

PATTERNS = ("fixed", "bernoulli", "smil", "dicmor", "cpm")
PER_MODALITY, OVERALL = "per_modality", "overall"
DEFINITIONS = (PER_MODALITY, OVERALL)
DEPENDENCIES = ("nothing", "class", "input")
BLACKOUT = "blackout"
CHUNK = 1024

Spec = float | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True)
class Rule:
    """Which modalities are missing in which samples.

    Args:
        pattern: `fixed`: the channels are missing in every sample. `bernoulli`: each channel is
            missing in a sample on its own, given that one modality stays. `smil`: the channels are
            missing together, in exactly the given share of each class (SMIL's avMNIST: 21 of 105
            pairs per class complete is rate 0.8), or of all samples where there are no classes.
            `dicmor`: a share a of the samples lacks two of three modalities and a share b one, with
            2a + b = 3 rate from the table of DiCMoR and IMDer. `cpm`: the mask of CPM-Nets, MMIN,
            GCNet and MLA, see `masks.cpm`.
        rate: Missing rate, in [0, 1). For `bernoulli`, also one by channel.
        channels: Which modalities can be missing; None for all (`smil`: all but the first).
        definition: What `rate` is of a `bernoulli` rule. `per_modality`: the share of samples in
            which each of the channels is missing. `overall`: the share of all slots, samples x
            modalities, that is missing. The rate of `smil` is per modality, that of `dicmor` and
            `cpm` overall.
        depends_on: What makes a channel of a `bernoulli` rule likelier to be missing: `nothing`,
            the `class` (its index, how many labels are true, or the mean target), or the `input`
            (the mean value of the modality `by`). The log-odds rise by `strength` per standard
            deviation of it, around the same mean rate.
        by: The modality of `depends_on: input`; None for the first.
        strength: See `depends_on`; 0 is missing at random.
        mechanism: `blackout`, the only thing that a data set knows.

    Raises:
        ValueError: An unknown word, or a rate that is none.

    Example:
        >>> make_rules({"pattern": "fixed", "channels": ["sound"]})[0].channels
        ('sound',)
    """

    pattern: str = "bernoulli"
    rate: float | Mapping[str, float] | None = None
    channels: tuple[str, ...] | None = None
    definition: str = PER_MODALITY
    depends_on: str = "nothing"
    by: str | None = None
    strength: float = 2.0
    mechanism: str = BLACKOUT

    def __post_init__(self) -> None:
        for value, known in (
            (self.pattern, PATTERNS),
            (self.definition, DEFINITIONS),
            (self.depends_on, DEPENDENCIES),
        ):
            if value not in known:
                raise ValueError(f"a missing rule has {value!r}; known: {', '.join(known)}")
        if self.mechanism != BLACKOUT:
            raise ValueError(
                f"mechanism {self.mechanism!r} is one of sensors: in a data set a modality is "
                f"there or not ({BLACKOUT})"
            )
        if self.pattern == "fixed":
            if self.rate is not None or not self.channels:
                raise ValueError("a fixed rule has channels and no rate: they are always missing")
        elif self.rate is None:
            raise ValueError(f"a {self.pattern} rule needs a rate in [0, 1)")
        self._check_rates()
        self._check_options()

    def _check_rates(self) -> None:
        rates = self.rate if isinstance(self.rate, Mapping) else {"": self.rate or 0.0}
        if bad := {name: rate for name, rate in rates.items() if not 0 <= rate < 1}:
            found = bad.get("", bad)
            raise ValueError(f"a missing rate must be at least 0 and below 1, got {found}")
        if isinstance(self.rate, Mapping):
            if self.pattern != "bernoulli" or self.definition == OVERALL or self.channels:
                raise ValueError(
                    "rates by channel are for bernoulli rules of definition per_modality, and say "
                    "themselves which channels"
                )
        elif self.pattern == "dicmor" and round(rates[""], 6) not in masks.DICMOR_SHARES:
            raise ValueError(
                f"dicmor has the rates {', '.join(map(str, masks.DICMOR_SHARES))}, got {self.rate}"
            )

    def _check_options(self) -> None:
        if self.pattern in ("dicmor", "cpm") and self.channels is not None:
            raise ValueError(f"a {self.pattern} rule is for all modalities and takes no channels")
        if self.pattern != "bernoulli" and (
            self.depends_on != "nothing" or self.definition != PER_MODALITY
        ):
            raise ValueError(
                f"depends_on and definition are for bernoulli rules, this one is {self.pattern}"
            )
        if self.by is not None and self.depends_on != "input":
            raise ValueError("'by' names the modality of depends_on: input, which is not set")

    def describe(self) -> dict[str, Any]:
        """The rule as plain data, without what is not set."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        defaults = asdict(Rule(rate=0.0)) | {"rate": None}
        kept = {k: v for k, v in plain.items() if k == "pattern" or v != defaults[k]}
        if isinstance(self.rate, Mapping):
            kept["rate"] = dict(self.rate)
        return kept | ({"channels": list(self.channels)} if self.channels else {})


def make_rules(spec: Spec, default: Mapping[str, Any] | None = None) -> tuple[Rule, ...]:
    """Rules from plain data: None, a rate, one rule or several.

    Args:
        spec: None is no rule; a number is the rate of the `default` rule.
        default: A rule without its rate; None is a `bernoulli` rule for all modalities.

    Raises:
        TypeError: Channels that are no list of names.
        ValueError: An unknown key or word, or a rate that is none.

    Example:
        >>> make_rules(0.3)
        (Rule(pattern='bernoulli', rate=0.3, ...),)
    """
    if spec is None:
        return ()
    if isinstance(spec, int | float):
        return (_make_rule({**(default or {}), "rate": float(spec)}),)
    return tuple(map(_make_rule, [spec] if isinstance(spec, Mapping) else spec))


def _make_rule(spec: Mapping[str, Any]) -> Rule:
    known = [f.name for f in fields(Rule)]
    if unknown := sorted(set(spec) - {*known, "announced"}):
        raise ValueError(f"a missing rule has no key {unknown}; known: {', '.join(known)}")
    channels = spec.get("channels")
    if isinstance(channels, str):
        raise TypeError(f"channels must be a list of names, got {channels!r}")
    if spec.get("announced", True) is not True:
        raise ValueError("in a data set it is always known what is missing: announced is true")
    own = {key: value for key, value in spec.items() if key != "announced"}
    return Rule(**{**own, "channels": tuple(channels) if channels else None})


def fixed_missing(names: Sequence[str]) -> dict[str, tuple[Rule, ...]]:
    """The fixed-missing protocol: rules by name of the subset that stays (`image+sound`)."""
    rules: dict[str, tuple[Rule, ...]] = {}
    for subset in subsets(names):
        gone = tuple(name for name in names if name not in subset)
        rules["+".join(subset)] = (Rule("fixed", channels=gone),) if gone else ()
    return rules


def draw(
    rules: Sequence[Rule], data: ArrayData, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], "samples modalities"]:
    """Which modalities stay in which samples.

    Args:
        rules: A modality is missing where any of them says so.
        data: Its own missing modalities stay missing; rules can depend on its values and targets.
        rng: Draws everything.

    Raises:
        ValueError: A rule names a modality that the data do not have, or does not fit them.
    """
    names = [m.name for m in data.modalities]
    available = data.available.copy()
    for rule in rules:
        _check_names(rule, names)
        available &= ~_missing(rule, names, data, rng)
    lasting = {c for rule in rules if rule.pattern == "fixed" for c in rule.channels or ()}
    choice = data.available & np.array([name not in lasting for name in names])
    return masks.restore_one(available, (choice, data.available), rng)


def _check_names(rule: Rule, names: Sequence[str]) -> None:
    used = {*(rule.channels or ()), *([rule.by] if rule.by else ())}
    used |= set(rule.rate) if isinstance(rule.rate, Mapping) else set()
    if unknown := sorted(used - set(names)):
        raise ValueError(f"a {rule.pattern} rule names {unknown}; the modalities are {list(names)}")
    if rule.pattern == "fixed" and set(rule.channels or ()) == set(names):
        raise ValueError(f"a fixed rule leaves none of the modalities {list(names)}")


def _missing(
    rule: Rule, names: Sequence[str], data: ArrayData, rng: np.random.Generator
) -> Bool[NDArray[np.bool_], "samples modalities"]:
    samples, modalities = data.available.shape
    chosen = np.isin(names, rule.channels or names)
    if rule.pattern == "fixed":
        return np.tile(chosen, (samples, 1))
    if rule.pattern == "bernoulli":
        return ~masks.bernoulli(_rates(rule, names, data), rng)
    assert isinstance(rule.rate, float | int)
    if rule.pattern == "smil":
        if rule.channels is None:
            chosen = np.arange(modalities) > 0
        strata = np.zeros(samples, np.int64)
        if data.target is not None and data.target.ndim == 1:
            strata = data.target.astype(np.int64)
        rows = masks.quota(strata, rule.rate, rng)
        return rows[:, None] & chosen
    kind = masks.dicmor if rule.pattern == "dicmor" else masks.cpm
    return ~kind(samples, modalities, rule.rate, rng)


def _rates(
    rule: Rule, names: Sequence[str], data: ArrayData
) -> Float[NDArray[np.float64], "samples modalities"]:
    """Probability that each modality of each sample is missing."""
    chosen = np.isin(names, rule.channels or names)
    if isinstance(rule.rate, Mapping):
        mean = np.array([rule.rate.get(name, 0.0) for name in names])
    else:
        assert rule.rate is not None
        spread = len(names) / chosen.sum() if rule.definition == OVERALL else 1.0
        mean = np.where(chosen, rule.rate * spread, 0.0)
    # Where all modalities can be missing, all but one are at most.
    most = 1.0 if (mean == 0).any() else max(1 - 1 / len(names), float(mean.max()))
    if (mean > 1).any():
        raise ValueError(
            f"an overall rate of {rule.rate} is more than the channels {rule.channels} can give: "
            f"at most {chosen.sum() / len(names):.3g} of all {len(names)} modalities"
        )
    if rule.depends_on == "nothing":
        return np.tile(mean, (len(data), 1))
    score = rule.strength * _score(rule, data)
    return np.stack([masks.around(float(rate), score, most) for rate in mean], axis=1)


def _score(rule: Rule, data: ArrayData) -> Float[NDArray[np.float64], " samples"]:
    """What missingness depends on, per sample, of mean 0 and standard deviation 1."""
    if rule.depends_on == "class":
        if data.target is None:
            raise ValueError("a rule depends on the class, but the data have no targets")
        score = data.target.reshape(len(data), -1).mean(axis=1).astype(float)
        known = np.ones(len(data), bool)
    else:
        names = [m.name for m in data.modalities]
        by = rule.by or names[0]
        known = data.available[:, names.index(by)]
        score = np.where(known, _means(data, by), 0.0)
    if not known.any() or (std := float(score[known].std())) == 0:
        return np.zeros(len(data))
    return np.where(known, (score - score[known].mean()) / std, 0.0)


def _means(data: ArrayData, name: str) -> Float[NDArray[np.float64], " samples"]:
    """Over what was measured, without the padding of sequences."""
    column = data.values[name]
    modality = next(m for m in data.modalities if m.name == name)
    means = np.zeros(len(data))
    for start in range(0, len(data), CHUNK):
        rows = slice(start, start + CHUNK)
        part = torch.from_numpy(np.array(column[rows]))
        there = measured(part, modality)
        values = (part if there is None else with_gaps(part, there)).double().flatten(1)
        count = values.isfinite().sum(dim=1).double()
        if isinstance(column, Sequences):
            steps = torch.from_numpy(np.clip(column.lengths[rows], 0, column.steps))
            count -= (column.steps - steps) * (values.shape[1] // column.steps)
        means[rows] = (values.nansum(dim=1) / count.clamp(min=1)).numpy()
    return means
