"""The control task: collect, pretrain, train, evaluate, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from mmrl import checkpoint
from mmrl.control.belief import belief_stage
from mmrl.control.brought import bring_policy
from mmrl.control.collect import collect_data, given_policy, train_behaviour
from mmrl.control.config import RANDOM, TEACHER, WARMUP, TrainConfig
from mmrl.control.evaluate import FILES, evaluate_run
from mmrl.control.normalization_statistics import keep_statistics
from mmrl.control.policy import train_policy
from mmrl.control.pretrain import pretrain, probe, with_state
from mmrl.control.seen import observed_space
from mmrl.data import ArrayData
from mmrl.methods import METHODS
from mmrl.report.plots import to_png, training_figure
from mmrl.report.results import RETURN, REWARD_PER_STEP
from mmrl.runs.folder import RunFolder
from mmrl.runs.pretrained_encoder import pretrained_encoder
from mmrl.runs.progress import Curve, progress_bar, read_curve
from mmrl.runs.run import Run, at_work
from mmrl.training.usable import check_enough, learnable, missing_shares
from mmrl_agents.checkpoints import save_policy

DATA, TEST_DATA = "data.npz", "test_data.npz"


LOSSES, REWARDS = "pretraining.csv", "training.csv"


STATE = "fit.pt"
MORE = (
    ", collect more (collect.samples), or leave out the sensor that is missing most: "
    "{name: drop, channels: [...]} in env.wrappers"
)


def train(config: TrainConfig, folder: RunFolder, console: Console) -> None:
    """All stages that are not finished yet."""
    with at_work(keep_statistics(config, folder.path), folder, console) as run:
        if config.agent.without_encoder:
            train_stage(run)
        if run.config.encoder is not None:
            encoder_stage(run)
        elif run.config.method_settings is not None:
            collect_stage(run)
            pretrain_stage(run)
        train_stage(run)
        belief_stage(run)
        evaluate_stage(run)


def encoder_stage(run: Run[TrainConfig]) -> None:
    """The encoder of another run in place of a new one; that it fits was checked before."""
    config = run.config
    if run.folder.finished("pretrain"):
        return
    assert config.encoder is not None
    with run.folder.stage("pretrain", ("encoder.safetensors", "encoder.yaml")):
        method = pretrained_encoder(config.encoder)
        checkpoint.save(method, run.path)
        run.folder.add_metrics(pretrain={"encoder": config.encoder, "method": method.name})
    run.console.print(f"encoder ({method.name}) of {config.encoder}")


def collect_stage(run: Run[TrainConfig]) -> None:
    """Observations under random actions, or under a policy."""
    config = run.config
    if run.folder.finished("collect"):
        return
    total = config.collect.samples + config.collect.test_samples
    with run.folder.stage("collect", (DATA, TEST_DATA)) as scratch:
        policy = None
        if config.collect.policy == WARMUP:
            with progress_bar(
                run.console, "explore", config.collect.warmup_timesteps, "steps"
            ) as more:
                policy = train_behaviour(config, scratch, more)
        elif config.collect.policy == TEACHER:
            policy = given_policy(config, run.path)
        elif config.collect.policy != RANDOM:
            policy = given_policy(config)
        with progress_bar(run.console, "collect", total, "samples") as advance:
            data, test = collect_data(config, advance, policy)
        missing = _look(run, data)
        data.save(run.path / DATA)
        test.save(run.path / TEST_DATA)
        facts = {
            "samples": len(data),
            "test_samples": len(test),
            "megabytes": round(data.nbytes / 1e6, 3),
        }
        for name, value in {**facts, **missing}.items():
            run.writer.add_scalar(f"collect/{name}", value)
        if len(told := with_state(data)):
            assert told.target is not None
            for i, column in enumerate(told.target.T):
                run.writer.add_histogram(f"collect/state_{i}", column)
        run.folder.add_metrics(collect={**facts, **missing})


def _look(run: Run[TrainConfig], data: ArrayData) -> dict[str, float]:
    """Says what the data lack; returns the share of samples that lack each sensor, if any do.

    Raises:
        ConfigError: Too few samples are left to learn from.
    """
    method = METHODS[run.config.method]
    shares = missing_shares(data)
    if shares:
        whole = int(data.available.all(axis=1).sum())
        learns = "all" if method.learns_from_incomplete else f"the {whole:,} complete ones"
        lacking = ", ".join(f"{name} in {share:.1%}" for name, share in shares.items())
        run.console.print(
            f"note: of {len(data):,} samples {len(data) - whole:,} lack a sensor (missing: "
            f"{lacking}); {method.name} learns from {learns}"
        )
    check_enough(method, data, "fit", run.config.fit.batch_size, MORE)
    if run.config.evaluate.probe and len(told := with_state(data)) < len(data):
        run.console.print(
            f"note: info['state'] is a finite vector of numbers in {len(told):,} of {len(data):,} "
            "samples; the others are not probed"
        )
    return {f"missing/{name}": share for name, share in shares.items()}


def pretrain_stage(run: Run[TrainConfig]) -> None:
    """An encoder for any subset of the sensors."""
    config = run.config
    if run.folder.finished("pretrain"):
        return
    data = ArrayData.load(run.path / DATA)
    total = config.fit.total_steps(len(learnable(METHODS[config.method], data)))
    with run.folder.stage("pretrain", ("encoder.safetensors", "encoder.yaml", LOSSES)) as scratch:
        losses = Curve(scratch / LOSSES, "step")
        with progress_bar(run.console, "pretrain", total, "steps") as advance:

            def on_step(step: int, terms: Mapping[str, float]) -> None:
                losses.add({"step": step, **terms})
                if step % 10 == 0:
                    for name, value in terms.items():
                        run.writer.add_scalar(f"pretrain/{name}", value, step)
                advance(step)

            method, result = pretrain(config, data, scratch / STATE, on_step)
        run.folder.write_text(LOSSES, losses.text())
        facts: dict[str, Any] = {"steps": result.steps, **result.losses}
        if config.evaluate.probe:
            scores = probe(config, method, data, ArrayData.load(run.path / TEST_DATA))
            facts["probe_r2"] = scores
            for condition, values in scores.items():
                run.console.print(f"  state read off {condition}: R² {_numbers(values)}")
                for i, value in enumerate(values):
                    run.writer.add_scalar(f"probe_r2/{condition}/{i}", value)
        run.folder.add_metrics(pretrain=facts)
        checkpoint.save(method, run.path)
    if not config.collect.keep:
        run.folder.discard("collect", DATA, TEST_DATA)


RESUMED = (
    "note: the policy's training went on at step {}. Networks, replay and random streams are those "
    "of before, but the episodes that were running began anew: an environment's state cannot be "
    "saved. So results are not, number by number, those of an uninterrupted run."
)


def train_stage(run: Run[TrainConfig]) -> None:
    """A policy on the latents, or on the observation itself."""
    config = run.config
    if run.folder.finished("train"):
        return
    if config.agent.brought:
        with run.folder.stage("train", ("policy.zip",)):
            bring_policy(config, run.path)
        return
    with run.folder.stage("train", ("policy.zip", REWARDS, "training.png")) as scratch:
        blind = config.agent.sees or config.method_settings is None
        encoder = None if blind else checkpoint.load(run.path)
        rewards = Curve(scratch / REWARDS, "timesteps")
        with progress_bar(run.console, "train", config.agent.total_timesteps, "steps") as advance:
            model, cost = train_policy(config, encoder, run.path, scratch, rewards, advance)
        if cost.resumed_at:
            run.console.print(RESUMED.format(cost.resumed_at))
        run.folder.write_text(REWARDS, rewards.text())
        figure = training_figure(
            read_curve(run.path / LOSSES),
            read_curve(run.path / REWARDS),
            title=f"{config.label}, seed {config.seed}",
            reference=config.env.reference,
            score=config.env.score,
        )
        run.folder.write_bytes("training.png", to_png(figure))
        run.writer.add_figure("training", figure)
        run.folder.add_metrics(train=asdict(cost))
        sensors = observed_space(config.env) if config.agent.sees else None
        save_policy(model, config.agent, run.path / "policy.zip", sensors)


def evaluate_stage(run: Run[TrainConfig]) -> None:
    """Every subset of the sensors, and rates of failure."""
    if run.folder.finished("evaluate"):
        return
    with run.folder.stage("evaluate", FILES):
        results = evaluate_run(run)
        means = {
            f"{r.condition}@{r.rate:g}": r.mean for r in results if r.metric == REWARD_PER_STEP
        }
        returns = {f"{r.condition}@{r.rate:g}": r.mean for r in results if r.metric == RETURN}
        run.folder.add_metrics(evaluate={"mean_reward_per_step": means, "mean_return": returns})


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
