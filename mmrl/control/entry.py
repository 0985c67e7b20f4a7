"""The control task as commands, sweeps and the Python entry know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mmrl.control.check import check_environment
from mmrl.control.collect import check_collecting, collect_data, given_policy
from mmrl.control.config import RANDOM, TrainConfig, from_mapping
from mmrl.control.join import JOINED, join
from mmrl.control.measure import MeasureConfig, measure_again
from mmrl.control.normalization_statistics import config_of, keep_statistics
from mmrl.control.pretrain import pretrain
from mmrl.control.task import STATE, train
from mmrl.report.results import ROBUSTNESS, read_results
from mmrl.runs.folder import RunFolder
from mmrl.runs.settings import to_stored
from mmrl.runs.task import Work
from mmrl.settings import typed


class Control:
    """See `mmrl.runs.task.Task`."""

    last_stage = "evaluate"
    joined = JOINED

    def read(self, content: Mapping[str, Any], folder: RunFolder | None = None) -> TrainConfig:
        """Settings from plain data; what the environment reads is looked for in the folder."""
        return from_mapping(content) if folder is None else config_of(folder)

    def stored(self, config: TrainConfig) -> dict[str, Any]:
        """Settings as plain data."""
        return to_stored(config)

    def title(self, config: TrainConfig) -> str:
        """The experiment."""
        return config.experiment

    def prepare(self, config: TrainConfig) -> Work:
        """Makes the environment and what learns once, and throws them away."""
        check_environment(config)
        check_collecting(config)
        return partial(train, config)

    def assist(self, config: TrainConfig, folder: RunFolder | None) -> None:
        """The pretraining, on the same data."""
        made = config.encoder is None and config.method_settings is not None
        if not made or (folder is not None and folder.finished("pretrain")):
            return
        state = None if folder is None else folder.scratch("pretrain") / STATE
        check_collecting(config)
        policy = None if config.collect.policy == RANDOM else given_policy(config)
        pretrain(config, collect_data(config, lambda _: None, policy)[0], state, lambda _, __: None)

    def score(self, folder: RunFolder) -> float:
        """The mean of `env.score` over all conditions of the evaluation."""
        score = from_mapping(folder.config).env.score
        results = read_results(folder.path / f"{ROBUSTNESS}.json")
        return float(np.mean([result.mean for result in results if result.metric == score]))

    def vary(self, content: Mapping[str, Any], rate: float | None, seed: int) -> dict[str, Any]:
        """At a training rate, every sensor is missing at random steps while the policy learns."""
        made = {**content, "seed": seed}
        if rate is not None:
            models = [{"pattern": "bernoulli", "rate": rate}] if rate else []
            made["faults"] = {**(content.get("faults") or {}), "models": models, "rate": rate}
        return made

    def keep(self, content: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Statistics that the wrapper `normalize` reads."""
        wrappers = keep_statistics(from_mapping(content), path).env.wrappers
        return {**content, "env": {**content["env"], "wrappers": wrappers}}

    def join(
        self, runs: Sequence[RunFolder], sweep: RunFolder, failed: Sequence[str], console: Console
    ) -> None:
        """Robustness and costs."""
        join(from_mapping(sweep.config), runs, sweep, failed, console)

    def measure(
        self, runs: Sequence[RunFolder], settings: Mapping[str, Any], console: Console
    ) -> Path:
        """The same start states under every condition."""
        return measure_again(runs, typed(MeasureConfig, settings, ""), console)
