"""`python -m mmrl.train`: collect, pretrain, train, evaluate; everything lands in one folder.

python -m mmrl.train                        the default experiment
python -m mmrl.train task=classification    data with labels instead of an environment
python -m mmrl.train --help                 settings, groups, examples
python -m mmrl.train resume=outputs/latest  continue what was interrupted
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from mmrl.classification.check import check_classification
from mmrl.classification.comparison import check_members, compare_methods
from mmrl.classification.config import (
    CLASSIFICATION,
    ClassificationConfig,
    classification_from_mapping,
)
from mmrl.classification.task import assist_classification, classify
from mmrl.control.check import check_environment
from mmrl.control.collect import check_collecting, collect_data, given_policy
from mmrl.control.comparison import compare
from mmrl.control.config import RANDOM, TrainConfig, from_mapping
from mmrl.control.normalization_statistics import config_of
from mmrl.control.pretrain import pretrain
from mmrl.control.task import STATE, train
from mmrl.runs.command_line import command_line, refuse_other_settings
from mmrl.runs.composed import Composed, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console
from mmrl.settings import ConfigError

DEFAULT = "default"

Work = Callable[[RunFolder, Console], None]


def main() -> None:
    """The command."""
    command_line("train", work)


def work(settings: Composed) -> None:
    """Starts or continues one run."""
    given = to_plain(settings)
    resume = given.pop("resume", None)
    if other_rank():
        assist(given, resume)
        return
    console = make_console()
    if resume is None:
        path, do = prepare(given)
        run = RunFolder.create(path, given)
    else:
        run = RunFolder.open(resume)
        refuse_other_settings(run.config, given)
        _, do = prepare(run.config, run)
        finished = ", ".join(run.stages)
        console.print(f"continuing {run.path}; finished: {finished or 'no stage yet'}")
    if note := run.point_latest(run.path.parent / "latest"):
        console.print(f"note: {note}")
    console.print(f"run folder: {run.path}")
    do(run, console)
    console.print(f"files in {run.path}: {', '.join(run.contents())}")


def prepare(content: Mapping[str, Any], run: RunFolder | None = None) -> tuple[Path, Work]:
    """Checks settings, and returns a folder for a new run of them and what is to be done in it.

    Args:
        content: The settings.
        run: The folder that they are read from, where a run is continued.

    Raises:
        ConfigError: They are wrong, or do not fit the environment or the data.
    """
    if content.get("task") == CLASSIFICATION:
        settings = classification_from_mapping(content)
        if settings.comparison.methods:
            check_members(settings, content)
            name = f"comparison-{settings.data.name}"
            return _new_path(settings, name), partial(compare_methods, settings)
        work = partial(classify, settings, check_classification(settings))
        return _new_path(settings, f"{settings.label}-{settings.data.name}"), work
    config = from_mapping(content) if run is None else config_of(run)
    check_environment(config)
    check_collecting(config)
    if config.comparison.variants:
        return _new_path(config), partial(compare, config, train=train)
    return _new_path(config), partial(train, config)


def other_rank() -> bool:
    """Whether this process is there only to share the pretraining (torchrun, Lightning Fabric)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0


def assist(given: dict[str, Any], resume: str | None) -> None:
    """The pretraining as a rank other than the first; it makes the same data and writes nothing."""
    run = None if resume is None else RunFolder.open(resume)
    content = given if run is None else run.config
    if content.get("comparison", {}).get("methods"):
        raise ConfigError("a comparison trains in one process: start it without ranks")
    if content.get("task") == CLASSIFICATION:
        assist_classification(classification_from_mapping(content), run)
        return
    config = from_mapping(content) if run is None else config_of(run)
    made = config.encoder is None and config.method_settings is not None
    if not made or (run is not None and run.finished("pretrain")):
        return
    if config.comparison.variants:
        raise ConfigError("a comparison trains in one process: start it without ranks")
    state = None if run is None else run.scratch("pretrain") / STATE
    check_collecting(config)
    policy = None if config.collect.policy == RANDOM else given_policy(config)
    pretrain(config, collect_data(config, lambda _: None, policy)[0], state, lambda _, __: None)


def _new_path(config: TrainConfig | ClassificationConfig, name: str | None = None) -> Path:
    time = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    if name is None or config.experiment != DEFAULT:
        name = config.experiment
    return Path(config.outputs) / f"{time}-{name}-seed{config.seed}"


if __name__ == "__main__":
    main()
