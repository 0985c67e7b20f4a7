"""Trained agents measured again, under conditions of one's choice, and joined over their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.control.check import check_conditions, check_trained
from mmrl.control.config import ConditionConfig, EvaluateConfig, TrainConfig
from mmrl.control.evaluate import all_conditions, film, measure, report_runs
from mmrl.control.normalization_statistics import config_of
from mmrl.report.results import Result, check_score
from mmrl.runs.device import check_device, resolve_device
from mmrl.runs.folder import RunFolder
from mmrl_agents.agent import Agent


@dataclass(frozen=True)
class MeasureConfig:
    """How trained agents are measured again.

    Args:
        seed: Seed of start states and faults.
        device: Where encoder and policy run.
        episodes: Episodes per condition; every condition has the same starts.
        n_envs: Episodes that run at once.
        max_steps: Steps after which an episode is cut off; None: what each run has.
        subsets: Which subsets of the sensors, see `EvaluateConfig`; None: what each run has.
        rates: Shares of steps at which every sensor is missing on its own, each in [0, 1).
        video: Whether a video is made of an episode in which sensors go down and come back.
        confidence: Confidence of the intervals, in (0, 1).
        score: See `EnvConfig`; None is each run's own.
        conditions: More conditions than those that each run has.
        with_belief: Whether a run's belief fills in for missing sensors; false: its policy acts
            alone.
    """

    seed: int = 0
    device: str = "auto"
    episodes: int = 100
    n_envs: int = 100
    max_steps: int | None = None
    subsets: Any = None
    rates: tuple[float, ...] = EvaluateConfig().rates
    video: bool = True
    confidence: float = 0.95
    score: str | None = None
    conditions: tuple[ConditionConfig, ...] = ()
    with_belief: bool = True

    def __post_init__(self) -> None:
        if self.score is not None:
            check_score(self.score)
        self.for_run(EvaluateConfig())

    def for_run(self, own: EvaluateConfig) -> EvaluateConfig:
        """A run's own settings with these in their place."""
        return replace(
            own,
            episodes=self.episodes,
            n_envs=self.n_envs,
            max_steps=own.max_steps if self.max_steps is None else self.max_steps,
            subsets=own.subsets if self.subsets is None else self.subsets,
            rates=self.rates,
            video=self.video,
            confidence=self.confidence,
            conditions=(*own.conditions, *self.conditions),
        )


def measure_again(runs: Sequence[RunFolder], settings: MeasureConfig, console: Console) -> Path:
    """Measures trained agents into a new subfolder of the first one's run.

    Args:
        runs: Their folders.
        settings: How they are measured.
        console: Takes progress and the table.

    Returns:
        The subfolder.

    Raises:
        ConfigError: A condition does not fit the environment of a run.
        RunFolderError: A run has no trained policy.
    """
    check_device(settings.device)
    configs = [_configured(run, settings) for run in runs]
    for config in configs:
        check_conditions(config)
    agents = [
        Agent.load(run.path, resolve_device(config.device), belief=settings.with_belief)
        for run, config in zip(runs, configs, strict=True)
    ]
    results: list[Result] = []
    for run, config, agent in zip(runs, configs, agents, strict=True):
        console.print(f"{config.label}, seed {config.seed}: {run.path}")
        conditions = all_conditions(agent, config.evaluate)
        results += measure(config, agent, conditions, settings.seed, console)
    out = runs[0].new_subfolder("evaluation")
    with SummaryWriter(str(out / "tb")) as writer:
        report_runs(configs[0], results, out, console, writer)
    if settings.video:
        film(configs[0], agents[0], out, console)
    return out


def _configured(run: RunFolder, settings: MeasureConfig) -> TrainConfig:
    config = config_of(run)
    check_trained(run, config)
    env = config.env if settings.score is None else replace(config.env, score=settings.score)
    evaluate = settings.for_run(config.evaluate)
    return replace(config, env=env, evaluate=evaluate, device=settings.device)
