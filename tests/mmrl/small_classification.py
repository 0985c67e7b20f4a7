"""Classification runs that take a second: made data, settings, and the work in this process."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir

from mmrl.classification.check import check_classification
from mmrl.classification.config import ClassificationConfig, classification_from_mapping
from mmrl.classification.task import classify
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console

CLASSES = 3
SIZES = {"train": 90, "valid": 30, "test": 45}
LEARNS = ["fit.steps=60", "fit.lr=1e-2", "missing.train=0.4"]


def arrays(target_type: str = "classes") -> dict[str, np.ndarray]:
    """Three classes that either modality shows clearly."""
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    patterns = rng.integers(0, 256, (CLASSES, 1, 8, 8))
    centres = rng.normal(size=(CLASSES, 5)) * 3
    for split, size in SIZES.items():
        classes = np.arange(size) % CLASSES
        noise = rng.normal(size=(size, 1, 8, 8)) * 20
        made[f"{split}/image"] = np.clip(patterns[classes] + noise, 0, 255).astype(np.uint8)
        sounds = centres[classes] + rng.normal(size=(size, 5)) * 0.3
        made[f"{split}/sound"] = sounds.astype(np.float32)
        numbers = (classes[:, None] - 1.0 + rng.normal(size=(size, 1)) * 0.1).astype(np.float32)
        labels = np.stack([classes == 0, classes > 0, classes < 2], axis=1).astype(np.uint8)
        kinds: dict[str, np.ndarray] = {"classes": classes, "numbers": numbers, "labels": labels}
        made[f"{split}/target"] = kinds[target_type]
    return made


def settings(path: Path | None, *overrides: str) -> dict[str, Any]:
    data = [] if path is None else ["data=file", f"data.path={path}"]
    everywhere = ["experiment=smoke_classification", "device=cpu", "fit.accelerator=cpu"]
    everywhere += ["pretrain.accelerator=cpu", *data, *overrides]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=everywhere))
    plain.pop("resume")
    return plain


def config(path: Path | None, *overrides: str) -> ClassificationConfig:
    return classification_from_mapping(settings(path, *overrides))


def run_here(where: Path, path: Path, *overrides: str) -> RunFolder:
    made = config(path, *overrides)
    run = RunFolder.create(where, settings(path, *overrides))
    classify(made, check_classification(made), run, make_console())
    return run


def rows_of(run: RunFolder) -> list[dict[str, str]]:
    with (run.path / "scores.csv").open() as file:
        return list(csv.DictReader(file))
