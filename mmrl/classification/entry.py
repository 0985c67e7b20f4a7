"""The classification task as commands, sweeps and the Python entry know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from mmrl.classification.check import check_classification
from mmrl.classification.config import (
    DECIDED_BY_DATA,
    ClassificationConfig,
    classification_from_mapping,
)
from mmrl.classification.scores import FILES, check_joined, join_scores
from mmrl.classification.task import assist_classification, best_in_validation, classify
from mmrl.runs.folder import RunFolder
from mmrl.runs.settings import to_stored
from mmrl.runs.task import Work
from mmrl.settings import ConfigError


class Classification:
    """See `mmrl.runs.task.Task`."""

    last_stage = "score"
    joined = FILES

    def read(
        self, content: Mapping[str, Any], folder: RunFolder | None = None
    ) -> ClassificationConfig:
        """Settings from plain data."""
        return classification_from_mapping(content)

    def stored(self, config: ClassificationConfig) -> dict[str, Any]:
        """Settings as plain data, without what the data decide."""
        return to_stored(config, without=DECIDED_BY_DATA)

    def title(self, config: ClassificationConfig) -> str:
        """Method and data, unless the experiment has a name."""
        if config.experiment != "default":
            return config.experiment
        return f"{'sweep' if config.sweep.runs else config.label}-{config.data.name}"

    def prepare(self, config: ClassificationConfig) -> Work:
        """Loads the data, which the work then has."""
        return partial(classify, config, check_classification(config))

    def assist(self, config: ClassificationConfig, folder: RunFolder | None) -> None:
        """All training, on the same data under the same masks."""
        assist_classification(config, folder)

    def score(self, folder: RunFolder) -> float:
        """The best main score in validation: a search that saw the test would fit it."""
        return best_in_validation(folder)

    def vary(self, content: Mapping[str, Any], rate: float | None, seed: int) -> dict[str, Any]:
        """The seed also cuts the validation split where the data have none."""
        missing, data = dict(content.get("missing") or {}), dict(content["data"])
        if rate is not None:
            missing["train"] = rate
        options = data.get("options", {})
        data["options"] = {**options, "seed": seed} if "seed" in options else options
        return {**content, "seed": seed, "missing": missing, "data": data}

    def keep(self, content: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Nothing: data stay where they are."""
        return dict(content)

    def join(
        self, runs: Sequence[RunFolder], sweep: RunFolder, failed: Sequence[str], console: Console
    ) -> None:
        """All scores, by method, training rate and seed."""
        join_scores(runs, sweep.path, console, failed)

    def measure(
        self, runs: Sequence[RunFolder], settings: Mapping[str, Any], console: Console
    ) -> Path:
        """Joins scores, which are complete already, over their seeds."""
        if settings:
            raise ConfigError(
                f"{', '.join(settings)} mean nothing for classification runs: their scores are "
                "joined as they are"
            )
        check_joined(runs)
        out = runs[0].new_subfolder("evaluation")
        join_scores(runs, out, console)
        return out
