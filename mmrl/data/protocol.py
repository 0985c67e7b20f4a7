"""A missingness protocol: rules for training, validation and test, drawn once by a seed, saved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData
from mmrl.data.dataset import SPLITS, DataError, DataSet
from mmrl.data.missingness import OVERALL, PER_MODALITY, Rule, Spec, draw, make_rules
from mmrl.data.npz import read_npz, write_npz
from mmrl.files import FileError, brief, read_yaml, write_atomically, yaml_text

Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class MissingnessProtocol:
    """Which modalities are missing in training, validation and test.

    Args:
        train: Rules of the training samples.
        valid: Rules of the validation samples; None for those of training.
        test: Rules of the test samples.
        seed: Seed of all draws. Each split has its own random stream: the training mask does not
            change with the rules of the test.

    Example:
        >>> protocol = MissingnessProtocol.make(train={"pattern": "smil", "rate": 0.9}, seed=1)
        >>> protocol.train[0].rate, protocol.test
        (0.9, ())
    """

    train: tuple[Rule, ...] = ()
    valid: tuple[Rule, ...] | None = None
    test: tuple[Rule, ...] = ()
    seed: int = 0

    @classmethod
    def make(
        cls,
        train: Spec = None,
        test: Spec = None,
        valid: Spec = None,
        seed: int = 0,
        default: Mapping[str, Any] | None = None,
    ) -> MissingnessProtocol:
        """A protocol from plain data.

        Args:
            train: Rules, or a rate, see `make_rules`.
            test: Rules, or a rate, of the test.
            valid: Rules, or a rate, of validation; None is what training has.
            seed: Seed of all draws.
            default: The rule that a rate alone is of; each data set's config has one.

        Raises:
            ValueError: An unknown key or word, or a rate that is none.
        """
        rules = None if valid is None else make_rules(valid, default)
        return cls(make_rules(train, default), rules, make_rules(test, default), seed)

    def rules(self, split: str) -> tuple[Rule, ...]:
        """The rules of a split."""
        rules = {"train": self.train, "valid": self.valid, "test": self.test}[split]
        return self.train if rules is None else rules

    def draw(self, data: DataSet) -> Drawn:
        """Draws the masks of a data set: a function of the data, the rules and the seed alone.

        Raises:
            ValueError: Rules that do not fit the data.
        """
        masks = {}
        for place, split in enumerate(SPLITS):
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, place]))
            masks[split] = draw(self.rules(split), data[split], rng)
        names = tuple(m.name for m in data.modalities)
        return Drawn(data.name, names, masks, self.describe(), _fingerprints(data))

    def describe(self) -> dict[str, Any]:
        """The protocol as plain data."""
        rules = {split: [rule.describe() for rule in self.rules(split)] for split in SPLITS}
        return {"seed": self.seed, **rules}


@dataclass(frozen=True)
class Drawn:
    """Drawn masks, the same for every method.

    Args:
        data: Name of the data set.
        modalities: Names of the masks' columns.
        masks: Which modalities stay, (samples, modalities) by split.
        protocol: What they were drawn by.
        fingerprints: Fingerprints of the targets of each split, which masks belong to.
    """

    data: str
    modalities: tuple[str, ...]
    masks: Masks
    protocol: dict[str, Any]
    fingerprints: dict[str, str]

    @property
    def realised(self) -> dict[str, dict[str, Any]]:
        """Missing rates that came out, by split, after both definitions.

        `per_modality` is the share of samples without each modality, `overall` the share of all
        slots, `complete` the share of samples that lack nothing.
        """
        return {split: realised(mask, self.modalities) for split, mask in self.masks.items()}

    def apply(self, data: DataSet) -> DataSet:
        """The data set under these masks.

        Raises:
            DataError: They were drawn for other data.
        """
        names = tuple(m.name for m in data.modalities)
        found = _fingerprints(data)
        if names != self.modalities or found != self.fingerprints:
            wrong = [s for s in SPLITS if found[s] != self.fingerprints.get(s)]
            raise DataError(
                f"the masks were drawn for {self.data} with {list(self.modalities)}; this is "
                f"{data.name} with {list(names)}"
                + (
                    f", and its samples differ in {wrong}: other files or another seed of the split"
                    if wrong
                    else ""
                )
            )
        return data.with_available(self.masks)

    def save(self, path: Path | str) -> None:
        """Writes the masks as `<path>.npz`, and what they are as `<path>.yaml`."""
        path = Path(path)
        description = {
            "data": self.data,
            "modalities": list(self.modalities),
            "protocol": self.protocol,
            "realised": self.realised,
            "fingerprints": self.fingerprints,
        }
        write_npz(path.with_name(path.name + ".npz"), self.masks)
        write_atomically(path.with_name(path.name + ".yaml"), yaml_text(description).encode())

    @classmethod
    def load(cls, path: Path | str) -> Drawn:
        """Reads what `save` wrote.

        Raises:
            DataError: A file is missing or damaged, or the two do not belong together.
        """
        path = Path(path)
        try:
            described = read_yaml(path.with_name(path.name + ".yaml"))
            arrays = read_npz(path.with_name(path.name + ".npz"))
            masks = {split: arrays[split] for split in SPLITS}
            drawn = cls(
                str(described["data"]),
                tuple(described["modalities"]),
                {split: mask.astype(bool) for split, mask in masks.items()},
                dict(described["protocol"]),
                dict(described["fingerprints"]),
            )
            if any(mask.shape[1:] != (len(drawn.modalities),) for mask in masks.values()):
                raise ValueError("masks and description differ in modalities")
        except (OSError, FileError) as error:
            raise DataError(f"cannot read the masks: {brief(error)}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {brief(error)}"
            raise DataError(f"{path}.yaml and .npz hold no masks ({what})") from error
        return drawn


def realised(mask: NDArray[np.bool_], names: tuple[str, ...]) -> dict[str, Any]:
    """Missing rates of a mask, rounded to four digits.

    Example:
        >>> realised(np.array([[True, False], [True, True]]), ("image", "sound"))
        {'per_modality': {'image': 0.0, 'sound': 0.5}, 'overall': 0.25, 'complete': 0.5}
    """
    if not len(mask):
        return {PER_MODALITY: dict.fromkeys(names, 0.0), OVERALL: 0.0, "complete": 1.0}
    return {
        PER_MODALITY: {
            n: round(float(1 - m), 4) for n, m in zip(names, mask.mean(axis=0), strict=True)
        },
        OVERALL: round(float(1 - mask.mean()), 4),
        "complete": round(float(mask.all(axis=1).mean()), 4),
    }


def _fingerprints(data: DataSet) -> dict[str, str]:
    return {split: _fingerprint(data[split]) for split in SPLITS}


def _fingerprint(data: ArrayData) -> str:
    assert data.target is not None
    content = np.ascontiguousarray(data.target).tobytes()
    return f"{len(data)}-{hashlib.sha256(content).hexdigest()[:12]}"
