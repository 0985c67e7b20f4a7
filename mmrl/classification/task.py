"""The classification task: what is missing is drawn, a method is trained, and scored by subset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl import checkpoint
from mmrl.classification.check import check_classification
from mmrl.classification.config import METHOD_TASKS, ClassificationConfig
from mmrl.classification.scores import FILES, Masks, draw_masks, score, valid_scores, write_scores
from mmrl.data import ArrayData
from mmrl.data.dataset import DataError, DataSet
from mmrl.data.protocol import Drawn
from mmrl.methods import METHODS, Method, Supervised, predictor_on
from mmrl.report.results import LOWER_IS_BETTER, main_metric
from mmrl.runs.device import resolve_device
from mmrl.runs.folder import RunFolder
from mmrl.runs.pretrained_encoder import pretrained_encoder
from mmrl.runs.progress import Advance, Curve, progress_bar, read_curve
from mmrl.runs.run import Run, at_work
from mmrl.runs.seeding import CLASSIFIER, FITTING, stream
from mmrl.settings import ConfigError
from mmrl.subsets import says_less
from mmrl.training.config import FitConfig
from mmrl.training.fit import FitResult, OnStep, Validate, fit
from mmrl.training.usable import learnable

PRETRAINED, ENCODER = "pretrained", "encoder"
LOSSES, VALIDATION = "fitting.csv", "validation.csv"
STATE = "fit.pt"


def classify(
    config: ClassificationConfig, data: DataSet, folder: RunFolder, console: Console
) -> None:
    """All stages that are not finished yet."""
    with at_work(config, folder, console) as run:
        masks = data_stage(run, data)
        try:
            masked = masks[0.0].apply(data)
        except DataError as error:
            raise ConfigError(f"data: {error}") from error
        if not config.is_supervised:
            pretrain_stage(run, masked)
        fit_stage(run, masked)
        score_stage(run, data, masks)


def assist_classification(config: ClassificationConfig, run: RunFolder | None) -> None:
    """The training as a rank other than the first; it draws the same masks and writes nothing."""
    if run is not None and run.finished("fit"):
        return
    data = check_classification(config)
    masked = draw_masks(config, data)[0.0].apply(data)
    encoder = None
    if not config.is_supervised:
        if config.encoder is not None:
            encoder = pretrained_encoder(config.encoder)
        elif run is not None and run.finished("pretrain"):
            encoder = checkpoint.load(run.path, PRETRAINED)
        else:
            state = None if run is None else run.scratch("pretrain") / STATE
            encoder, _ = pretrain_encoder(config, masked, state, lambda _, __: None)
    state = None if run is None else run.scratch("fit") / STATE
    fit_method(config, masked, encoder, state, lambda _, __: None, lambda _, __: None)


def best_in_validation(folder: RunFolder) -> float:
    """The main score of the weights that were kept, in validation; see `main_metric`."""
    columns = read_curve(folder.path / VALIDATION)
    metric = main_metric(name for name in columns if name != "step" and "/" not in name)
    best = columns["step"] == folder.metrics()["fit"]["best_step"]
    return float(columns[metric][best][-1])


def data_stage(run: Run[ClassificationConfig], data: DataSet) -> Masks:
    """Which modalities are missing in which samples; the same for every method."""
    config = run.config
    if run.folder.finished("data"):
        try:
            names = run.folder.metrics()["masks"]
            return {float(rate): Drawn.load(run.path / name) for rate, name in names.items()}
        except DataError as error:
            raise ConfigError(str(error)) from error
    masks = draw_masks(config, data)
    names = {rate: f"missing/test-{rate:g}" for rate in masks}
    files = tuple(name + suffix for name in names.values() for suffix in (".npz", ".yaml"))
    with run.folder.stage("data", files):
        for rate, drawn in masks.items():
            drawn.save(run.path / names[rate])
        realised = masks[0.0].realised
        facts = {
            "samples": {split: len(mask) for split, mask in masks[0.0].masks.items()},
            "modalities": {m.name: list(m.shape) for m in data.modalities},
            "targets": {"task": data.task, "outputs": data.outputs},
            "realised": {
                **{split: realised[split] for split in ("train", "valid")},
                "test": {f"{rate:g}": drawn.realised["test"] for rate, drawn in masks.items()},
            },
        }
        run.folder.add_metrics(
            data=facts, masks={f"{rate:g}": name for rate, name in names.items()}
        )
    if unreached := _unreached(masks):
        run.console.print(f"note: one modality of each sample stays, so {unreached}")
    sizes = " / ".join(str(len(mask)) for mask in masks[0.0].masks.values())
    shares = realised["train"]["per_modality"]
    gone = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
    run.console.print(
        f"{data.name}: {sizes} samples (train / valid / test); "
        f"missing in training: {gone or 'nothing'}"
    )
    return masks


def _unreached(masks: Masks) -> str:
    """Which rates of the test are more than the data can lack, and what they are instead."""
    notes = []
    for rate, drawn in sorted(masks.items()):
        found = [share for share in drawn.realised["test"]["per_modality"].values() if share]
        share = sum(found) / max(1, len(found))
        chance = 3.0 * math.sqrt(rate * (1.0 - rate) / max(1, len(drawn.masks["test"])))
        if share < rate - chance:
            notes.append(f"{rate:.0%} missing is {share:.0%}")
    return ", ".join(notes)


def pretrain_stage(run: Run[ClassificationConfig], data: DataSet) -> None:
    """A representation without labels, from the complete samples, or that of another run."""
    config = run.config
    if run.folder.finished("pretrain"):
        return
    if config.encoder is not None:
        take_encoder(config.encoder, run)
        return
    files = tuple(f"{PRETRAINED}.{suffix}" for suffix in ("safetensors", "yaml"))
    train = learnable(METHODS[config.method], data.train)
    total = config.pretrain.total_steps(len(train))
    with run.folder.stage("pretrain", files) as scratch:
        with progress_bar(run.console, "pretrain", total, "steps") as advance:
            on_step = _report("pretrain", run.writer, advance)
            method, result = pretrain_encoder(config, data, scratch / STATE, on_step)
        checkpoint.save(method, run.path, PRETRAINED)
        run.folder.add_metrics(pretrain={"steps": result.steps, **result.losses})


def take_encoder(path: str, run: Run[ClassificationConfig]) -> None:
    """The encoder of another run; that it fits was checked before."""
    with run.folder.stage("pretrain", tuple(f"{PRETRAINED}.{s}" for s in ("safetensors", "yaml"))):
        method = pretrained_encoder(path)
        checkpoint.save(method, run.path, PRETRAINED)
        run.folder.add_metrics(pretrain={"encoder": path, "method": method.name})
    run.console.print(f"encoder ({method.name}) of {path}")


def fit_stage(run: Run[ClassificationConfig], data: DataSet) -> None:
    """The method on the labels, or a classifier on the frozen representation."""
    config = run.config
    if run.folder.finished("fit"):
        return
    files = (f"{ENCODER}.safetensors", f"{ENCODER}.yaml", LOSSES, VALIDATION)
    with run.folder.stage("fit", files) as scratch:
        encoder = None if config.is_supervised else checkpoint.load(run.path, PRETRAINED)
        losses = Curve(scratch / LOSSES, "step")
        validation = Curve(scratch / VALIDATION, "step")
        total = config.fit.total_steps(len(learnable(config.learner, data.train)))
        with progress_bar(run.console, "fit", total, "steps") as advance:
            report = _report("fit", run.writer, advance)

            def on_step(step: int, terms: Mapping[str, float]) -> None:
                losses.add({"step": step, "loss": terms["loss"]})
                report(step, terms)

            def on_score(step: int, scores: Mapping[str, float]) -> None:
                validation.add({"step": step, **scores})
                for name, value in scores.items():
                    run.writer.add_scalar(f"valid/{name}", value, step)

            method, result = fit_method(config, data, encoder, scratch / STATE, on_step, on_score)
        run.folder.write_text(LOSSES, losses.text())
        run.folder.write_text(VALIDATION, validation.text())
        checkpoint.save(method, run.path, ENCODER)
        facts = {"steps": result.steps, "best_step": result.best_step, **result.losses}
        run.folder.add_metrics(fit=facts)
        run.console.print(f"  best in validation after {result.best_step} of {result.steps} steps")
    if encoder is not None:
        run.folder.discard("pretrain", *(f"{PRETRAINED}.{s}" for s in ("safetensors", "yaml")))


def score_stage(run: Run[ClassificationConfig], data: DataSet, masks: Masks) -> None:
    """Subsets of the modalities at every missing rate of the test."""
    config = run.config
    if run.folder.finished("score"):
        return
    with run.folder.stage("score", FILES):
        method = checkpoint.load(run.path, ENCODER, resolve_device(config.device))
        assert isinstance(method, Supervised)
        if note := says_less(method.names, config.evaluate.subsets):
            run.console.print(f"note: {note}")
        with progress_bar(run.console, "score", len(masks), "rates") as advance:
            rows = score(config, method, data, masks, advance)
        write_scores(rows, data.name, run.path, run.console, run.writer)
        metric = main_metric(row.metric for row in rows)
        found = {f"{r.condition}@{r.rate:g}": r.mean for r in rows if r.metric == metric}
        run.folder.add_metrics(score={metric: found})


def pretrain_encoder(
    config: ClassificationConfig, data: DataSet, state: Path | None, on_step: OnStep
) -> tuple[Method, FitResult]:
    """Trains a method that learns without labels, from where an earlier attempt stopped.

    Args:
        config: Configuration of the run.
        data: Under its masks.
        state: File of the resumable state.
        on_step: Called after every step.
    """
    seed = stream(config.seed, FITTING)
    torch.manual_seed(seed)
    method = METHODS[config.method](data.modalities, config.method_settings)
    train = learnable(type(method), data.train)
    return method, _fit(method, train, config.pretrain.on(config.device), seed, state, on_step)


def fit_method(
    config: ClassificationConfig,
    data: DataSet,
    encoder: Method | None,
    state: Path | None,
    on_step: OnStep,
    on_score: OnStep,
) -> tuple[Supervised, FitResult]:
    """Trains what predicts, from where an earlier attempt stopped.

    Args:
        config: Configuration of the run.
        data: Under its masks.
        encoder: A frozen representation for a classifier; None where the method is supervised.
        state: File of the resumable state.
        on_step: Called after every step.
        on_score: Called with the scores of every validation.
    """
    seed = stream(config.seed, FITTING if encoder is None else CLASSIFIER)
    torch.manual_seed(seed)
    made: Method
    if encoder is None:
        made = METHODS[config.method](data.modalities, config.settings_for(data))
    else:
        made = predictor_on(
            encoder,
            outputs=data.outputs,
            task=METHOD_TASKS[data.task],
            hidden=config.classifier.hidden,
            finetune=config.classifier.finetune,
        )
    assert isinstance(made, Supervised)
    method = made

    def validate(step: int) -> float:
        scores = valid_scores(method, data)
        on_score(step, scores)
        metric = main_metric(scores)
        return -scores[metric] if metric in LOWER_IS_BETTER else scores[metric]

    train = learnable(type(method), data.train)
    # Of another run, an encoder may know a modality of the same name and shape as another kind.
    train = train.seen_as(method.modalities)
    settings = config.fit.on(config.device)
    return method, _fit(method, train, settings, seed, state, on_step, validate)


def _fit(
    method: Method,
    train: ArrayData,
    config: FitConfig,
    seed: int,
    state: Path | None,
    on_step: OnStep,
    validate: Validate | None = None,
) -> FitResult:
    with _refusing(method):
        return fit(
            method,
            train,
            config,
            seed=seed % 2**31,
            state=state,
            on_step=on_step,
            validate=validate,
        )


@contextmanager
def _refusing(method: Method) -> Iterator[None]:
    """What a method cannot learn from is the settings' fault, not the program's."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{method.name} cannot be trained like this: {error}") from error


def _report(stage: str, writer: SummaryWriter, advance: Advance) -> OnStep:
    """Every tenth step to TensorBoard, every step to the bar."""

    def on_step(step: int, terms: Mapping[str, float]) -> None:
        if step % 10 == 0:
            for name, value in terms.items():
                writer.add_scalar(f"{stage}/{name}", value, step)
        advance(step)

    return on_step
