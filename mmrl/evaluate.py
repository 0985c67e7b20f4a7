"""`python -m mmrl.evaluate run=<folder>`: how well trained agents act while sensors fail.

Every subset of the sensors, and rates at which sensors are missing at random steps; the same start
states under every condition. Several runs are joined over their seeds, and so are the scores of
classification runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.checking import check_conditions, check_trained
from mmrl.classification_config import CLASSIFICATION
from mmrl.classification_scores import join_scores
from mmrl.command_line import command_line
from mmrl.config import (
    Composed,
    ConditionConfig,
    EvaluateConfig,
    TrainConfig,
    to_plain,
)
from mmrl.control import EPISODES, check_device, device_of, make_env, make_envs, stream
from mmrl.files import write_atomically
from mmrl.kept_statistics import config_of
from mmrl.metrics.intervals import bootstrap_interval
from mmrl.plots import robustness_figure, to_pixels, to_png
from mmrl.progress import make_console, progress_bar
from mmrl.report import (
    ROWS,
    Row,
    Summary,
    check_score,
    robustness_table,
    summarise,
    to_csv,
    to_json,
)
from mmrl.run_folder import RunFolder, json_text
from mmrl.settings import ConfigError, typed
from mmrl.video import outages, write_video
from mmrl_agents.agent import Agent
from mmrl_agents.robustness import Condition, evaluate, rate_conditions, subset_conditions
from mmrl_envs import SensorDropout
from mmrl_envs.mujoco_camera import follow_robot


@dataclass(frozen=True)
class CommandConfig:
    """Settings of the command.

    Args:
        run: Folders of runs.
        seed: Of start states and faults.
        device: Where encoder and policy run.
        episodes: See `EvaluateConfig`, as for the next four.
        n_envs: See there.
        rates: See there.
        video: See there.
        confidence: See there.
        score: See `EnvConfig`; None is each run's own.
        conditions: See there; more than those that each run has.
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
        Agent.load(run.path, device_of(config)) for run, config in zip(runs, configs, strict=True)
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


def evaluate_run(
    config: TrainConfig, run: RunFolder, console: Console, writer: SummaryWriter
) -> list[Row]:
    """Evaluates a run whose policy is trained, into its own folder."""
    agent = Agent.load(run.path, device_of(config))
    seed = stream(config.seed, EPISODES)
    conditions = all_conditions(agent, config.evaluate)
    rows = measure(config, agent, conditions, seed, console)
    write_results(config, rows, run.path, console, writer)
    if config.evaluate.video:
        film(config, agent, run.path, console)
    return rows


def all_conditions(agent: Agent, config: EvaluateConfig) -> list[Condition]:
    """Every subset of the sensors, every rate at which they fail, and what else was asked for."""
    names = list(agent.sensors)
    more = [Condition(c.name, tuple(c.faults), c.rate) for c in config.conditions]
    return [*subset_conditions(names), *rate_conditions(names, config.rates), *more]


def measure(
    config: TrainConfig,
    agent: Agent,
    conditions: Sequence[Condition],
    seed: int,
    console: Console,
) -> list[Row]:
    """Runs the same episodes under every condition.

    Args:
        config: Of the run.
        agent: What acts.
        conditions: How sensors fail.
        seed: Of starts and faults.
        console: Where progress is shown.
    """
    settings = config.evaluate
    total = settings.episodes * len(conditions)
    done = 0
    with progress_bar(console, "evaluate", total, "episodes") as advance:

        def on_episodes(more: int) -> None:
            nonlocal done
            done += more
            advance(done)

        results = evaluate(
            agent.acting,
            partial(make_envs, config.env),
            conditions,
            episodes=settings.episodes,
            seed=seed,
            n_envs=settings.n_envs,
            on_episodes=on_episodes,
        )
    rng = np.random.default_rng(seed)
    rows = []
    for result in results:
        low, high = bootstrap_interval([result.rewards], rng, confidence=settings.confidence)
        rows.append(
            Row(
                agent=config.label,
                condition=result.condition.name,
                rate=float(result.condition.rate),
                seed=config.seed,
                rewards=tuple(result.rewards.tolist()),
                returns=tuple(result.returns.tolist()),
                missing_rate=result.missing_rate,
                realised_rate=result.realised_rate,
                ci_low=low,
                ci_high=high,
            )
        )
    return rows


def write_results(
    config: TrainConfig,
    rows: Sequence[Row],
    out: Path,
    console: Console,
    writer: SummaryWriter,
) -> None:
    """Table, CSV, JSON, plot and TensorBoard's part.

    Args:
        config: Of the first run.
        rows: Of one run or several.
        out: Folder for the files.
        console: Takes the table.
        writer: Takes scalars, settings beside results, and the plot.
    """
    confidence = config.evaluate.confidence
    reference, score = config.env.reference, config.env.score
    summaries = summarise(rows, confidence=confidence, score=score)
    seeds = len({row.seed for row in rows})
    what = f"seed {config.seed}" if seeds == 1 else f"IQM of {seeds} seeds"
    title = f"{config.label}, {what}, {confidence:.0%} intervals"
    figure = robustness_figure(summaries, title=title, reference=reference, score=score)
    write_atomically(out / "robustness.csv", to_csv(rows).encode())
    write_atomically(out / ROWS, json_text(to_json(rows, summaries)).encode())
    write_atomically(out / "robustness.png", to_png(figure))
    results = {f"robustness/{score}/{_tag(s)}": s.iqm for s in summaries}
    for name, value in (results | _rates(rows)).items():
        writer.add_scalar(name, value)
    writer.add_hparams(
        _flat_settings(config), {f"hparam/{k}": v for k, v in results.items()}, run_name="."
    )
    writer.add_image("robustness", to_pixels(figure), dataformats="HWC")
    table = robustness_table(summaries, title=title, reference=reference, score=score)
    console.print(table)


def film(config: TrainConfig, agent: Agent, out: Path, console: Console) -> None:
    """A short video of an episode in which sensors go down and come back."""
    if sys.platform.startswith("linux") and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")  # Gymnasium's viewer of robots asks for a display
    try:
        env = make_env(config.env, render_mode="rgb_array")
    except ConfigError as error:
        console.print(f"note: no video, {error}")
        return
    follow_robot(env)
    faults, steps = outages(list(agent.sensors))
    failing = SensorDropout(env, faults, keep_at_least=0)
    observation, _ = failing.reset(seed=stream(config.seed, EPISODES))
    agent.reset()
    frames: list[NDArray[np.uint8]] = []
    for _ in range(steps):
        try:
            frame = failing.render()
        except Exception as error:  # graphics libraries have no common type of error
            console.print(f"note: no video, {config.env.id} could not be rendered: {error}")
            return
        if not isinstance(frame, np.ndarray):
            console.print(f"note: no video, {config.env.id} renders no frames")
            return
        frames.append(frame)
        observation, _, terminated, truncated, _ = failing.step(agent.act(observation))
        if terminated or truncated:
            break
    fps = int(failing.metadata.get("render_fps", 30))
    failing.close()
    path = write_video(frames, out / "sensors", fps=fps)
    console.print(f"video: {path}")


def _configured(run: RunFolder, command: CommandConfig) -> TrainConfig:
    config = config_of(run)
    check_trained(run, config)
    env = config.env if command.score is None else replace(config.env, score=command.score)
    evaluate = command.for_run(config.evaluate)
    return replace(config, env=env, evaluate=evaluate, device=command.device)


def _tag(line: Row | Summary) -> str:
    """Name of a condition in TensorBoard."""
    return line.condition + f"@{line.rate:g}" * (line.rate > 0)


def _rates(rows: Sequence[Row]) -> dict[str, float]:
    """How much was missing, as `available` told, and faulty, told or not; means over seeds."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(f"missing/{_tag(row)}", []).append(row.missing_rate)
        found.setdefault(f"faulty/{_tag(row)}", []).append(row.realised_rate)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _flat_settings(config: TrainConfig) -> dict[str, Any]:
    """What tells runs apart in TensorBoard's table of settings."""
    return {
        "label": config.label,
        "seed": config.seed,
        "algorithm": config.agent.algorithm,
        "frames": config.agent.frames,
        "method": config.method,
        "samples": config.collect.samples,
        "fit_steps": config.fit.steps or 0,
        "fit_lr": config.fit.lr,
        "experiment": config.experiment,
    }


if __name__ == "__main__":
    main()
