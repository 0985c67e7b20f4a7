"""`python -m mmrl.evaluate run=<folder>`: how well trained agents act while sensors fail.

Every subset of the sensors, and rates at which sensors are missing at random steps; the same start
states under every condition. Several runs are joined over their seeds, and so are the scores of
classification runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.classification.config import CLASSIFICATION
from mmrl.classification.scores import join_scores
from mmrl.control.check import check_conditions, check_trained
from mmrl.control.config import ConditionConfig, EvaluateConfig, TrainConfig
from mmrl.control.evaluate import all_conditions, film, measure, write_results
from mmrl.control.normalization_statistics import config_of
from mmrl.report.robustness import (
    Row,
    check_score,
)
from mmrl.runs.command_line import command_line
from mmrl.runs.composed import Composed, to_plain
from mmrl.runs.device import check_device, resolve_device
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console
from mmrl.settings import ConfigError, typed
from mmrl_agents.agent import Agent


@dataclass(frozen=True)
class CommandConfig:
    """Settings of the command.

    Args:
        run: Folders of runs.
        seed: Seed of start states and faults.
        device: Where encoder and policy run.
        episodes: Episodes per condition; every condition has the same starts.
        n_envs: Episodes that run at once.
        rates: Shares of steps at which every sensor is missing on its own, each in [0, 1).
        video: Whether a video is made of an episode in which sensors go down and come back.
        confidence: Confidence of the intervals, in (0, 1).
        score: See `EnvConfig`; None is each run's own.
        conditions: More conditions than those that each run has.
    """

    run: list[str]
    seed: int = 0
    device: str = "auto"
    episodes: int = 100
    n_envs: int = 100
    rates: tuple[float, ...] = EvaluateConfig().rates
    video: bool = True
    confidence: float = 0.95
    score: str | None = None
    conditions: tuple[ConditionConfig, ...] = ()

    def __post_init__(self) -> None:
        if not self.run:
            raise ValueError("run names no folder")
        if self.score is not None:
            check_score(self.score)
        self.for_run(EvaluateConfig())

    def for_run(self, own: EvaluateConfig) -> EvaluateConfig:
        """A run's own settings with those of the command in their place."""
        return replace(
            own,
            episodes=self.episodes,
            n_envs=self.n_envs,
            rates=self.rates,
            video=self.video,
            confidence=self.confidence,
            conditions=(*own.conditions, *self.conditions),
        )


def main() -> None:
    """The command."""
    command_line("evaluate", work)


def work(settings: Composed) -> None:
    """Evaluates one or several runs into a new subfolder of the first."""
    plain = to_plain(settings)
    plain["run"] = [plain["run"]] if isinstance(plain["run"], str) else plain["run"]
    command = typed(CommandConfig, plain, "")
    runs = [RunFolder.open(path) for path in command.run]
    if any(run.config.get("task") == CLASSIFICATION for run in runs):
        join(runs, command)
        return
    check_device(command.device)
    configs = [_configured(run, command) for run in runs]
    for config in configs:
        check_conditions(config)
    console = make_console()
    agents = [
        Agent.load(run.path, resolve_device(config.device))
        for run, config in zip(runs, configs, strict=True)
    ]
    rows: list[Row] = []
    for run, config, agent in zip(runs, configs, agents, strict=True):
        console.print(f"{config.label}, seed {config.seed}: {run.path}")
        conditions = all_conditions(agent, config.evaluate)
        rows += measure(config, agent, conditions, command.seed, console)
    out = runs[0].new_subfolder("evaluation")
    with SummaryWriter(str(out / "tb")) as writer:
        write_results(configs[0], rows, out, console, writer)
    if command.video:
        film(configs[0], agents[0], out, console)
    console.print(f"files in {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def join(runs: Sequence[RunFolder], command: CommandConfig) -> None:
    """Scores of classification runs, which are complete already, over their seeds.

    Raises:
        ConfigError: Other settings than the runs were given, or runs that act among them.
    """
    if acting := [str(run.path) for run in runs if run.config.get("task") != CLASSIFICATION]:
        raise ConfigError(f"runs of different tasks cannot be joined; these act: {acting}")
    plain = CommandConfig(command.run)
    names = [f.name for f in fields(command)]
    if given := [name for name in names if getattr(plain, name) != getattr(command, name)]:
        raise ConfigError(
            f"{', '.join(given)} mean nothing for classification runs: their scores are joined as "
            "they are"
        )
    console = make_console()
    out = join_scores(runs, console)
    console.print(f"files in {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def _configured(run: RunFolder, command: CommandConfig) -> TrainConfig:
    config = config_of(run)
    check_trained(run, config)
    env = config.env if command.score is None else replace(config.env, score=command.score)
    evaluate = command.for_run(config.evaluate)
    return replace(config, env=env, evaluate=evaluate, device=command.device)


if __name__ == "__main__":
    main()
