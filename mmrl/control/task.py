"""The control task: collect, pretrain, train, evaluate, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl import checkpoint
from mmrl.control.collect import collect_data, given_policy, train_behaviour
from mmrl.control.config import PARTLY_TRAINED, RANDOM, TrainConfig
from mmrl.control.evaluate import evaluate_run
from mmrl.control.kept_statistics import keep_statistics
from mmrl.control.policy import train_policy
from mmrl.control.pretrain import pretrain, probe
from mmrl.data import ArrayData
from mmrl.report.plots import to_png, training_figure
from mmrl.report.robustness import ROWS
from mmrl.runs.folder import RunFolder
from mmrl.runs.given_encoder import given_encoder
from mmrl.runs.progress import Curve, progress_bar, read_curve
from mmrl_agents.checkpoints import save_policy

DATA, TEST_DATA = "data.npz", "test_data.npz"


LOSSES, REWARDS = "pretraining.csv", "training.csv"


STATE = "fit.pt"


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


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
