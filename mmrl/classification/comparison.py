"""Several methods at several missing rates over several seeds: one folder and one report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from mmrl.classification.check import check_classification
from mmrl.classification.config import ClassificationConfig, classification_from_mapping
from mmrl.classification.scores import write_joined
from mmrl.classification.task import classify
from mmrl.report.scores import SCORES, SUMMARY, read_scores
from mmrl.runs.folder import RunFolder
from mmrl.runs.members import Members
from mmrl.settings import ConfigError

STAGE = "compare"


def check_members(config: ClassificationConfig, content: Mapping[str, Any]) -> None:
    """Tries what every method needs where most is missing, to refuse bad settings before any work.

    Args:
        config: Configuration of the comparison.
        content: Settings of the comparison as plain data.

    Raises:
        ConfigError: See `check_classification`; the method is named.
    """
    rate = max(config.comparison.train, default=None)
    for label in config.comparison.methods:
        try:
            member = member_content(content, label, rate, config.comparison.seeds[0])
            check_classification(classification_from_mapping(member))
        except ConfigError as error:
            raise ConfigError(f"comparison.methods.{label}: {error}") from error


def compare_methods(config: ClassificationConfig, run: RunFolder, console: Console) -> None:
    """Trains and scores what is not yet, one run in a subfolder each, and joins the scores.

    Args:
        config: With `comparison.methods`.
        run: The folder of the whole comparison.
        console: Where progress is shown.

    Raises:
        MembersFailedError: Some members failed; the others are trained and joined.
    """
    settings = config.comparison
    members = Members(run, console)
    for seed in settings.seeds:
        for rate in settings.train or (None,):
            for label in settings.methods:
                name = label if rate is None else f"{label}-train{rate:g}"
                content = member_content(run.config, label, rate, seed)
                member = members.open(f"{name}-seed{seed}", content)
                if member.finished("score"):
                    members.finished.append(member)
                    continue
                with members.attempt(member):
                    single = classification_from_mapping(member.config)
                    classify(single, check_classification(single), member, console)

    def write() -> None:
        rows = [row for member in members.finished for row in read_scores(member.path / SCORES)]
        write_joined(rows, run.path, console, members.failed)

    members.join(STAGE, ("scores.csv", SUMMARY, SCORES, "scores.png"), write)


def member_content(
    content: Mapping[str, Any], label: str, rate: float | None, seed: int
) -> dict[str, Any]:
    """The settings of one run of a comparison, as plain data.

    Its seed also cuts the validation split where the data have none.

    Args:
        content: Settings of the comparison.
        label: Label of the method.
        rate: Missing in training; None is `missing.train`.
        seed: Seed of the run.
    """
    missing, data = dict(content["missing"]), dict(content["data"])
    if rate is not None:
        missing["train"] = rate
    options = data.get("options", {})
    data["options"] = {**options, "seed": seed} if "seed" in options else options
    own = {"label": label, "seed": seed, "missing": missing, "data": data}
    return {**content, **own, "method": content["comparison"]["methods"][label], "comparison": {}}
