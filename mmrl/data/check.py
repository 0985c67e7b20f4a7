"""What a data file holds, and what is wrong or suspicious about it."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrl.data.arrays import ArrayData
from mmrl.data.check_values import find_gaps, odd_targets, odd_values
from mmrl.data.custom import Parsed, parse, read_arrays
from mmrl.data.dataset import TASKS, DataSet
from mmrl.data.sequences import Sequences
from mmrl.modality import NO_READING

CHUNK = 1024
MANY_CLASSES = 12


@dataclass
class Report:
    """What `check_file` found.

    Attributes:
        parsed: The splits, as they are in the file.
        warnings: One sentence for each thing that is probably not meant.
    """

    parsed: Parsed
    warnings: list[str] = field(default_factory=list)


def check_file(path: Path | str) -> Report:
    """Reads a file or folder of one's own data and looks for what is probably wrong.

    Raises:
        DataError: It cannot be loaded at all; the message says why.
    """
    parsed = parse(read_arrays(Path(path)))
    train, test = parsed.splits["train"], parsed.splits["test"]
    valid = parsed.splits.get("valid", train)
    DataSet(Path(path).stem, train, valid, test, parsed.target_names)  # refuses what does not fit
    report = Report(parsed)
    if parsed.unknown:
        report.warnings.append(f"these arrays mean nothing and are ignored: {parsed.unknown}")
    for split, data in parsed.splits.items():
        report.warnings += _of_split(split, data)
    report.warnings += odd_values(parsed.splits) + _of_targets(parsed) + _leaks(parsed)
    return report


def _of_split(split: str, data: ArrayData) -> list[str]:
    if not len(data):
        return [f"{split} has no samples"]
    found = []
    if empty := int((~data.available.any(axis=1)).sum()):
        found.append(f"{split}: {empty} samples have no modality at all")
    for i, modality in enumerate(data.modalities):
        rows = np.flatnonzero(data.available[:, i])
        if not len(rows):
            found.append(f"{split}: {modality.name} is missing in every sample")
            continue
        low, high = _range(data, modality.name, rows)
        if low == high:
            found.append(f"{split}: {modality.name} is {low:g} everywhere")
    return found


def _of_targets(parsed: Parsed) -> list[str]:
    train = parsed.splits["train"].target
    assert train is not None
    if train.ndim == 2:
        odd = odd_targets(train)
        flat = [i for i in range(train.shape[1]) if len(np.unique(train[:, i])) == 1]
        found = odd + [f"target {parsed.target_names[i]} is the same in all of train" for i in flat]
        if train.dtype.kind == "f" and train.shape[1] == 1 and (train == train.round()).all():
            found.append("targets are whole numbers: if they are classes, store them as integers")
        return found
    found = []
    if len(parsed.target_names) < 2:
        found.append("there is only one class, from which nothing is learned")
    for split, data in parsed.splits.items():
        assert data.target is not None
        if unseen := sorted(set(data.target.tolist()) - set(train.tolist())):
            found.append(f"{split} has the classes {unseen}, which train does not have")
        present = np.unique(data.target)
        if split != "train" and len(parsed.target_names) > 1 and len(present) == 1:
            found.append(
                f"{split} has samples of the class {parsed.target_names[int(present[0])]} only: "
                "whoever always says that is right"
            )
    if absent := sorted(set(range(len(parsed.target_names))) - set(train.tolist())):
        found.append(f"train has no sample of the classes {absent}")
    return found


def _leaks(parsed: Parsed) -> list[str]:
    found = []
    prints = {split: _fingerprints(data) for split, data in parsed.splits.items()}
    for first, second in combinations(parsed.splits, 2):
        names = [m.name for m in parsed.splits[first].modalities]
        # Samples without any modality are alike, and no leak.
        whole, others = (
            [tuple(row) for row in prints[split].tolist() if any(row)] for split in (first, second)
        )
        if same := len(_shared(whole, others)):
            found.append(f"leak: {same} samples of {second} are in {first} too")
            continue
        for i, name in enumerate(names):
            values = [v for v in prints[second][:, i].tolist() if v]
            if same := len(_shared([v for v in prints[first][:, i].tolist() if v], values)):
                found.append(
                    f"leak: in {same} of {len(values)} samples of {second}, {name} is the same as "
                    f"in a sample of {first}"
                )
    return found


def _shared(first: Iterable[Hashable], second: Iterable[Hashable]) -> list[Hashable]:
    known = set(first)
    return [value for value in second if value in known]


def _fingerprints(data: ArrayData) -> NDArray[Any]:
    """A digest of every value, (samples, modalities); empty where it is missing."""
    prints = np.full(data.available.shape, "", dtype="<U16")
    for i, modality in enumerate(data.modalities):
        for rows in _chunks(np.flatnonzero(data.available[:, i])):
            for row, value in zip(rows, data.values[modality.name][rows], strict=True):
                digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=8)
                prints[row, i] = digest.hexdigest()
    return prints


def _chunks(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _range(data: ArrayData, name: str, rows: NDArray[np.intp]) -> tuple[float, float]:
    parts = [data.values[name][chunk] for chunk in _chunks(rows)]
    measured = [p[np.abs(p) < NO_READING] if p.dtype.kind == "f" else p for p in parts]
    parts = [p for p in measured if p.size]
    return float(min(p.min() for p in parts)), float(max(p.max() for p in parts))


def show(report: Report, console: Console) -> None:
    """Prints a table of modalities and one of targets, then the warnings."""
    parsed = report.parsed
    console.print(_modality_table(parsed))
    console.print(_target_table(parsed))
    if "valid" not in parsed.splits:
        strata = {"classes": ", stratified by class", "labels": ", stratified by label"}
        console.print(
            f"No split valid: it is cut from train by the seed{strata.get(_task(parsed), '')}."
        )
    for warning in report.warnings:
        console.print(f"[yellow]![/] {escape(warning)}", highlight=False)
    if not report.warnings:
        console.print("[green]Nothing suspicious.[/]")


def _modality_table(parsed: Parsed) -> Table:
    table = Table(
        "modality", "kind", "shape", "stored as", title="Modalities", title_justify="left"
    )
    for split, data in parsed.splits.items():
        table.add_column(f"{split} ({len(data)})")
    for i, modality in enumerate(parsed.splits["train"].modalities):
        column = parsed.splits["train"].values[modality.name]
        shape = "×".join(map(str, modality.shape))
        cells = [_summary(data, i) for data in parsed.splits.values()]
        kind = modality.kind + ", one scale" * modality.shared_scale
        if any(find_gaps(data, i).numbers for data in parsed.splits.values()):
            kind += f"\ngaps: {modality.partial}"
        table.add_row(escape(modality.name), kind, shape, str(column.dtype), *cells)
    return table


def _summary(data: ArrayData, place: int) -> str:
    rows = np.flatnonzero(data.available[:, place])
    if not len(rows):
        return "missing"
    name = data.modalities[place].name
    low, high = _range(data, name, rows)
    gone = 1 - len(rows) / len(data)
    column = data.values[name]
    text = f"{low:.4g} … {high:.4g}"
    if isinstance(column, Sequences):
        text += f"\n{column.lengths.min()} … {column.lengths.max()} steps"
    gaps = find_gaps(data, place)
    if gaps.numbers:
        text += f"\n{gaps.numbers:.1%} of numbers missing, in {gaps.samples:.0%} of samples"
    return text + (f"\n{gone:.1%} missing" if gone else "")


def _target_table(parsed: Parsed) -> Table:
    task = _task(parsed)
    table = Table("target", title=f"Targets: {len(parsed.target_names)} {task}")
    table.title_justify = "left"
    for split in parsed.splits:
        table.add_column(split, justify="right")
    for i, name in enumerate(parsed.target_names[:MANY_CLASSES]):
        table.add_row(
            escape(name), *(_target(data.target, i, task) for data in parsed.splits.values())
        )
    if (rest := len(parsed.target_names) - MANY_CLASSES) > 0:
        table.add_row(f"… {rest} more")
    if task == "labels":
        table.add_row("none of them", *(_without(data.target) for data in parsed.splits.values()))
    return table


def _task(parsed: Parsed) -> str:
    target = parsed.splits["train"].target
    assert target is not None
    return TASKS[target.dtype.kind]


def _without(target: NDArray[Any] | None) -> str:
    assert target is not None
    return str(int((~target).all(axis=1).sum()))


def _target(target: NDArray[Any] | None, place: int, task: str) -> str:
    assert target is not None
    if task == "classes":
        return str(int((target == place).sum()))
    value = target[:, place]
    if task == "labels":
        return str(int(value.sum()))
    return f"{value.min():.4g} … {value.max():.4g}" if len(value) else ""
