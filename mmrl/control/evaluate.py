"""Robustness of a trained agent: every subset, rates, and what else was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.control.config import EvaluateConfig, TrainConfig
from mmrl.control.envs import make_env, make_envs
from mmrl.files import write_atomically
from mmrl.report.plots import robustness_figure, to_pixels, to_png
from mmrl.report.results import (
    MISSING_RATE,
    REALISED_RATE,
    RETURN,
    REWARD_PER_STEP,
    ROBUSTNESS,
    Result,
    Summary,
    files_of,
    summarise,
    write_results,
)
from mmrl.report.tables import robustness_table
from mmrl.report.video import outages, write_video
from mmrl.runs.device import resolve_device
from mmrl.runs.progress import progress_bar
from mmrl.runs.run import Run
from mmrl.runs.seeding import EPISODES, stream
from mmrl.runs.sweep import without
from mmrl.settings import ConfigError
from mmrl.subsets import says_less
from mmrl_agents.agent import Agent
from mmrl_agents.robustness import (
    Condition,
    ConditionResult,
    evaluate,
    rate_conditions,
    subset_conditions,
)
from mmrl_envs import SensorDropout
from mmrl_envs.faults.process import FILL, MISSING
from mmrl_envs.mujoco.camera import follow_robot

FILES = (*files_of(ROBUSTNESS), "robustness.png")


def evaluate_run(run: Run[TrainConfig]) -> list[Result]:
    """Evaluates a run whose policy is trained, into its own folder."""
    config = run.config
    agent = Agent.load(run.path, resolve_device(config.device))
    seed = stream(config.seed, EPISODES)
    conditions = all_conditions(agent, config.evaluate)
    rows = measure(config, agent, conditions, seed, run.console)
    report_runs(config, rows, run.path, run.console, run.writer)
    if config.evaluate.video:
        film(config, agent, run.path, run.console)
    return rows


def all_conditions(agent: Agent, config: EvaluateConfig) -> list[Condition]:
    """Subsets of the sensors, every rate at which they fail, and what else was asked for.

    Raises:
        ConfigError: A subset names a sensor that there is not.
    """
    names = list(agent.sensors)
    more = [Condition(c.name, tuple(c.faults), c.rate) for c in config.conditions]
    try:
        subsets = subset_conditions(names, config.subsets)
    except ValueError as error:
        raise ConfigError(f"evaluate: {error}") from error
    return [*subsets, *rate_conditions(names, config.rates), *more]


def measure(
    config: TrainConfig,
    agent: Agent,
    conditions: Sequence[Condition],
    seed: int,
    console: Console,
) -> list[Result]:
    """Runs the same episodes under every condition.

    Args:
        config: Configuration of the run.
        agent: What acts.
        conditions: How sensors fail.
        seed: Seed of starts and faults.
        console: Where progress is shown.
    """
    settings = config.evaluate
    if note := says_less(list(agent.sensors), settings.subsets):
        console.print(f"note: {note}")
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
            max_steps=settings.max_steps,
            on_episodes=on_episodes,
        )
    _say_cut_off(results, console)
    return [found for result in results for found in _recorded(config, result)]


def _recorded(config: TrainConfig, measured: ConditionResult) -> list[Result]:
    """What an agent reached under one condition: scores of every episode, and what was missing."""
    found = {
        REWARD_PER_STEP: measured.rewards.tolist(),
        RETURN: measured.returns.tolist(),
        MISSING_RATE: [measured.missing_rate],
        REALISED_RATE: [measured.realised_rate],
    }
    return [
        Result(
            label=config.label,
            condition=measured.condition.name,
            rate=float(measured.condition.rate),
            train_rate=_train_rate(config),
            seed=config.seed,
            metric=metric,
            values=tuple(values),
        )
        for metric, values in found.items()
    ]


def _say_cut_off(results: Sequence[ConditionResult], console: Console) -> None:
    if cut := sum(result.cut_off for result in results):
        episodes = sum(len(result.returns) for result in results)
        steps = max(int(result.lengths.max()) for result in results)
        console.print(
            f"note: {cut} of {episodes} episodes had not ended after {steps:,} steps and were cut "
            "off: the environment has no time limit (evaluate.max_steps sets another, "
            "+env.kwargs.max_episode_steps one for training, too)"
        )


def _train_rate(config: TrainConfig) -> float | None:
    """The rate of the one fault of training, if there is one that has a rate."""
    models = config.faults.models
    if not models:
        return 0.0
    rate = models[0].get("rate") if len(models) == 1 else None
    return float(rate) if isinstance(rate, int | float) else None


def report(
    config: TrainConfig,
    results: Sequence[Result],
    out: Path,
    console: Console,
    title: str,
    failed: Sequence[str] = (),
) -> tuple[list[Summary], Figure]:
    """Writes `FILES`, and shows the table.

    Args:
        config: Settings of the run, or of the first of several.
        results: Results of one run or several.
        out: Folder for the files.
        console: Takes the table.
        title: Text above table and plot.
        failed: Names of runs that should be among them and failed.

    Returns:
        What table and plot show, and the plot.
    """
    summaries = summarise(results, confidence=config.evaluate.confidence)
    shown = [s for s in summaries if s.metric == config.env.score]
    figure = robustness_figure(shown, title=title, reference=config.env.reference)
    write_results(out, ROBUSTNESS, results, summaries, failed)
    write_atomically(out / "robustness.png", to_png(figure))
    table = robustness_table(shown, title=title, reference=config.env.reference)
    if failed:
        table.caption = f"{table.caption}; {without(failed)}"
    console.print(table)
    return summaries, figure


def report_runs(
    config: TrainConfig,
    results: Sequence[Result],
    out: Path,
    console: Console,
    writer: SummaryWriter,
) -> None:
    """`report` of one run, or of several of one agent, and TensorBoard's part.

    Args:
        config: Settings of the run, or of the first of several.
        results: Results of one run or several.
        out: Folder for the files.
        console: Takes the table.
        writer: Takes scalars, settings beside results, and the plot.
    """
    seeds = len({result.seed for result in results})
    what = f"seed {config.seed}" if seeds == 1 else f"mean of {seeds} seeds"
    title = f"{config.label}, {what}, {config.evaluate.confidence:.0%} intervals"
    summaries, figure = report(config, results, out, console, title)
    score = config.env.score
    shown = {f"robustness/{score}/{_tag(s)}": s.mean for s in summaries if s.metric == score}
    kinds = {MISSING_RATE: "missing", REALISED_RATE: "faulty"}
    rates = {f"{kinds[s.metric]}/{_tag(s)}": s.mean for s in summaries if s.metric in kinds}
    for name, value in (shown | rates).items():
        writer.add_scalar(name, value)
    writer.add_hparams(
        _flat_settings(config), {f"hparam/{k}": v for k, v in shown.items()}, run_name="."
    )
    writer.add_image("robustness", to_pixels(figure), dataformats="HWC")


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
    failing = SensorDropout(
        env, faults, keep_at_least=0, partial=FILL if agent.acting.fills_gaps else MISSING
    )
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


def _tag(line: Summary) -> str:
    """Name of a condition in TensorBoard."""
    return line.condition + f"@{line.rate:g}" * (line.rate > 0)


def _flat_settings(config: TrainConfig) -> dict[str, Any]:
    """What tells runs apart in TensorBoard's table of settings."""
    return {
        "label": config.label,
        "seed": config.seed,
        "algorithm": config.agent.algorithm,
        "timesteps": config.agent.total_timesteps,
        "method": config.method,
        "samples": config.collect.samples,
        "fit_steps": config.fit.steps or 0,
        "fit_lr": config.fit.lr,
        "experiment": config.experiment,
    }
