"""`python -m mmrl.train`: collect, pretrain, train, evaluate; everything lands in one folder.

python -m mmrl.train                        the default experiment
python -m mmrl.train task=classification    data with labels instead of an environment
python -m mmrl.train --help                 settings, groups, examples
python -m mmrl.train resume=outputs/latest  continue what was interrupted
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl import checkpoint
from mmrl.checking import check_environment
from mmrl.classification import assist_classification, classify
from mmrl.classification_checking import check_classification
from mmrl.classification_comparison import check_members, compare_methods
from mmrl.classification_config import (
    CLASSIFICATION,
    ClassificationConfig,
    classification_from_mapping,
)
from mmrl.collecting import check_collecting, collect_data, given_policy, train_behaviour
from mmrl.command_line import command_line, refuse_other_settings
from mmrl.comparison import compare
from mmrl.config import PARTLY_TRAINED, RANDOM, Composed, TrainConfig, from_mapping, to_plain
from mmrl.control import pretrain, probe, train_policy
from mmrl.data import ArrayData
from mmrl.evaluate import evaluate_run
from mmrl.given_encoder import given_encoder
from mmrl.kept_statistics import config_of, keep_statistics
from mmrl.plots import to_png, training_figure
from mmrl.progress import Curve, make_console, progress_bar, read_curve
from mmrl.report import ROWS
from mmrl.run_folder import RunFolder
from mmrl.settings import ConfigError
from mmrl_agents.checkpoints import save_policy

DATA, TEST_DATA = "data.npz", "test_data.npz"
LOSSES, REWARDS = "pretraining.csv", "training.csv"
STATE = "fit.pt"

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


def train(config: TrainConfig, run: RunFolder, console: Console) -> None:
    """All stages that are not finished yet."""
    config = keep_statistics(config, run.path)
    with SummaryWriter(str(run.path / "tb")) as writer:
        if config.encoder is not None:
            encoder_stage(config, run, console)
        elif config.method_settings is not None:
            collect_stage(config, run, console, writer)
            pretrain_stage(config, run, console, writer)
        train_stage(config, run, console, writer)
        evaluate_stage(config, run, console, writer)


def encoder_stage(config: TrainConfig, run: RunFolder, console: Console) -> None:
    """The encoder of another run in place of a new one; that it fits was checked before."""
    if run.finished("pretrain"):
        return
    assert config.encoder is not None
    with run.stage("pretrain", ("encoder.safetensors", "encoder.yaml")):
        method = given_encoder(config.encoder)
        checkpoint.save(method, run.path)
        run.add_metrics(pretrain={"encoder": config.encoder, "method": method.name})
    console.print(f"encoder ({method.name}) of {config.encoder}")


def collect_stage(
    config: TrainConfig, run: RunFolder, console: Console, writer: SummaryWriter
) -> None:
    """Observations under random actions, or under a policy."""
    if run.finished("collect"):
        return
    total = config.collect.samples + config.collect.test_samples
    with run.stage("collect", (DATA, TEST_DATA)) as scratch:
        policy = None
        if config.collect.policy == PARTLY_TRAINED:
            with progress_bar(console, "explore", config.collect.policy_frames, "frames") as more:
                policy = train_behaviour(config, scratch, more)
        elif config.collect.policy != RANDOM:
            policy = given_policy(config)
        with progress_bar(console, "collect", total, "samples") as advance:
            data, test = collect_data(config, advance, policy)
        data.save(run.path / DATA)
        test.save(run.path / TEST_DATA)
        facts = {
            "samples": len(data),
            "test_samples": len(test),
            "megabytes": round(data.nbytes / 1e6, 3),
        }
        for name, value in facts.items():
            writer.add_scalar(f"collect/{name}", value)
        if data.target is not None and data.target.ndim == 2:
            for i, column in enumerate(data.target.T):
                writer.add_histogram(f"collect/state_{i}", column)
        run.add_metrics(collect=facts)


def pretrain_stage(
    config: TrainConfig, run: RunFolder, console: Console, writer: SummaryWriter
) -> None:
    """An encoder for any subset of the sensors."""
    if run.finished("pretrain"):
        return
    data = ArrayData.load(run.path / DATA)
    total = config.fit.total_steps(len(data))
    with run.stage("pretrain", ("encoder.safetensors", "encoder.yaml", LOSSES)) as scratch:
        losses = Curve(scratch / LOSSES, "step")
        with progress_bar(console, "pretrain", total, "steps") as advance:

            def on_step(step: int, terms: Mapping[str, float]) -> None:
                losses.add({"step": step, **terms})
                if step % 10 == 0:
                    for name, value in terms.items():
                        writer.add_scalar(f"pretrain/{name}", value, step)
                advance(step)

            method, result = pretrain(config, data, scratch / STATE, on_step)
        run.write_text(LOSSES, losses.text())
        facts: dict[str, Any] = {"steps": result.steps, **result.losses}
        if config.evaluate.probe:
            scores = probe(config, method, data, ArrayData.load(run.path / TEST_DATA))
            facts["probe_r2"] = scores
            for condition, values in scores.items():
                console.print(f"  state read off {condition}: R² {_numbers(values)}")
                for i, value in enumerate(values):
                    writer.add_scalar(f"probe_r2/{condition}/{i}", value)
        run.add_metrics(pretrain=facts)
        checkpoint.save(method, run.path)
    if not config.collect.keep:
        run.discard("collect", DATA, TEST_DATA)


def train_stage(
    config: TrainConfig, run: RunFolder, console: Console, writer: SummaryWriter
) -> None:
    """A policy on the latents, or on the observation itself."""
    if run.finished("train"):
        return
    with run.stage("train", ("policy.zip", REWARDS, "training.png")) as scratch:
        encoder = None if config.method_settings is None else checkpoint.load(run.path)
        rewards = Curve(scratch / REWARDS, "frames")
        with progress_bar(console, "train", config.agent.frames, "frames") as advance:
            model, cost = train_policy(config, encoder, run.path, scratch, rewards, advance)
        run.write_text(REWARDS, rewards.text())
        figure = training_figure(
            read_curve(run.path / LOSSES),
            read_curve(run.path / REWARDS),
            title=f"{config.label}, seed {config.seed}",
            reference=config.env.reference,
            score=config.env.score,
        )
        run.write_bytes("training.png", to_png(figure))
        writer.add_figure("training", figure)
        run.add_metrics(train=asdict(cost))
        save_policy(model, config.agent, run.path / "policy.zip")


def evaluate_stage(
    config: TrainConfig, run: RunFolder, console: Console, writer: SummaryWriter
) -> None:
    """Every subset of the sensors, and rates of failure."""
    if run.finished("evaluate"):
        return
    with run.stage("evaluate", ("robustness.csv", ROWS, "robustness.png")):
        rows = evaluate_run(config, run, console, writer)
        means = {f"{r.condition}@{r.rate:g}": r.mean_reward_per_step for r in rows}
        returns = {f"{r.condition}@{r.rate:g}": r.mean_return for r in rows}
        run.add_metrics(evaluate={"mean_reward_per_step": means, "mean_return": returns})


def _new_path(config: TrainConfig | ClassificationConfig, name: str | None = None) -> Path:
    time = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    if name is None or config.experiment != DEFAULT:
        name = config.experiment
    return Path(config.outputs) / f"{time}-{name}-seed{config.seed}"


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
