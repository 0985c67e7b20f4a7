"""task=classification: from data to scores in one folder."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from mmrl import checkpoint
from mmrl.classification.check import check_classification
from mmrl.classification.scores import draw_masks
from mmrl.classification.task import classify
from mmrl.methods import Supervised
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console, read_curve
from mmrl.settings import ConfigError
from tests.mmrl.small_classification import LEARNS, SIZES, arrays, config, rows_of, run_here

FILES = {
    "config.yaml",
    "versions.json",
    "stages.json",
    "metrics.json",
    "encoder.safetensors",
    "encoder.yaml",
    "fitting.csv",
    "validation.csv",
    "scores.csv",
    "scores.json",
    "scores.png",
    "summary.csv",
    "missing/test-0.npz",
    "missing/test-0.yaml",
    "missing/test-0.5.npz",
    "missing/test-0.5.yaml",
}


def test_a_run_leaves_everything(finished: RunFolder) -> None:
    files = {name for name in finished.files() if not name.startswith("tb/")}
    assert files == FILES
    assert list(finished.stages) == ["data", "fit", "score"]
    assert list((finished.path / "tb").glob("events.*"))


def test_metrics_say_what_was_missing_and_when_it_was_best(finished: RunFolder) -> None:
    metrics = finished.metrics()
    assert metrics["data"]["samples"] == SIZES
    realised = metrics["data"]["realised"]
    assert realised["train"]["overall"] == pytest.approx(0.4, abs=0.1)
    assert {rate: share["overall"] for rate, share in realised["test"].items()} == {
        "0": 0,
        "0.5": pytest.approx(0.5, abs=0.1),
    }
    validation = read_curve(finished.path / "validation.csv")
    best = max(validation["accuracy"])
    last = max(validation["step"][validation["accuracy"] == best])
    assert metrics["fit"]["best_step"] == last
    steps = read_curve(finished.path / "fitting.csv")["step"]
    assert steps.tolist() == list(range(1, metrics["fit"]["steps"] + 1))


def test_validation_tells_what_each_modality_is_good_for(folder: Path, tmp_path: Path) -> None:
    missing = "missing.train={pattern: bernoulli, channels: [sound], rate: 0.5}"
    run = run_here(tmp_path / "run", folder / "classes.npz", "method=late_fusion", missing)
    validation = read_curve(run.path / "validation.csv")
    loaded = checkpoint.load(run.path)
    assert isinstance(loaded, Supervised)
    made = config(folder / "classes.npz", missing)
    data = check_classification(made)
    masked = draw_masks(made, data)[0.0].apply(data)
    has, target = masked.valid.available[:, 1], masked.valid.target
    assert target is not None
    assert 0 < has.sum() < len(has)
    batch = masked.valid.subset(np.flatnonzero(has)).batch(np.arange(has.sum()))
    heard = loaded.predict({"sound": batch.values["sound"]}).argmax(dim=1).numpy()
    at_best = validation["step"] == run.metrics()["fit"]["best_step"]
    expected = np.mean(heard == target[has])
    assert validation["sound/accuracy"][at_best] == pytest.approx(expected)
    events = EventAccumulator(str(run.path / "tb")).Reload()
    assert {"valid/accuracy", "valid/image/accuracy"} <= set(events.Tags()["scalars"])


def test_what_is_missing_depends_on_the_seed_and_not_on_the_method(folder: Path) -> None:
    path = folder / "classes.npz"
    masks = {}
    for name, overrides in {
        "concat": ["method=concat"],
        "smil": ["method=smil", "method.pretrain_steps=5"],
        "other": ["method=concat", "seed=1"],
    }.items():
        made = config(path, "missing.train=0.4", *overrides)
        masks[name] = draw_masks(made, check_classification(made))[0.5].masks
    for split in SIZES:
        assert np.array_equal(masks["concat"][split], masks["smil"][split])
        assert not np.array_equal(masks["concat"][split], masks["other"][split])
    assert (~masks["concat"]["train"]).mean() == pytest.approx(0.4, abs=0.1)


def test_a_method_without_labels_gets_a_classifier(folder: Path, tmp_path: Path) -> None:
    run = run_here(tmp_path / "run", folder / "classes.npz", "method=gmc", "missing.train=0.2")
    assert list(run.stages) == ["data", "pretrain", "fit", "score"]
    assert not (run.path / "pretrained.yaml").exists()
    method = checkpoint.load(run.path)
    assert (method.name, method.latent_dim) == ("downstream", 10)
    assert {row["label"] for row in rows_of(run)} == {"gmc"}


def test_numbers_have_the_scores_of_numbers(folder: Path, tmp_path: Path) -> None:
    run = run_here(
        tmp_path / "run",
        folder / "numbers.npz",
        "method=sum",
        "missing.test={pattern: fixed, channels: [sound]}",
    )
    found = {(r["condition"], r["rate"], r["metric"]) for r in rows_of(run)}
    assert {metric for _, _, metric in found} == {"mae", "pearson"}
    assert ("image+sound", "0.5", "mae") in found


@pytest.mark.parametrize("method", ["concat", "gmc"])
def test_labels_are_learned_and_scored(folder: Path, tmp_path: Path, method: str) -> None:
    overrides = [f"method={method}", "fit.steps=60", "fit.lr=1e-2"]
    run = run_here(tmp_path / "run", folder / "labels.npz", *overrides, "missing.train=0.2")
    names = {"f1_weighted", "f1_macro", "f1_micro", "f1_samples", "mean_ap"}
    whole = {
        row["metric"]: float(row["value"])
        for row in rows_of(run)
        if (row["condition"], row["rate"]) == ("image+sound", "0.0")
    }
    assert set(whole) == names
    assert min(whole.values()) > 0.8
    alone = {"image/f1_weighted", "sound/f1_weighted"}
    assert set(read_curve(run.path / "validation.csv")) == {"step", *names, *alone}
    assert set(run.metrics()["score"]) == {"f1_weighted"}
    loaded = checkpoint.load(run.path)
    assert isinstance(loaded, Supervised)
    assert (loaded.config.task, loaded.outputs) == ("labels", 3)


def test_other_data_are_not_taken_for_those_of_the_run(
    finished: RunFolder, folder: Path, tmp_path: Path
) -> None:
    changed = arrays()
    changed["train/target"] = changed["train/target"][::-1]
    np.savez_compressed(tmp_path / "classes.npz", **changed)  # type: ignore[arg-type]
    made = config(tmp_path / "classes.npz", "method=concat", *LEARNS)
    with pytest.raises(ConfigError, match=r"its samples differ in \['train'\]"):
        classify(made, check_classification(made), finished, make_console())


def test_rates_that_cannot_be_are_noted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = "missing.test=[0.3,0.8]"
    run_here(tmp_path / "run", folder / "classes.npz", "method=concat", "fit.steps=2", test)
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "note:" in line]
    assert note == "note: one modality of each sample stays, so 80% missing is 50%"


def test_without_a_word_validation_lacks_what_training_lacks(folder: Path) -> None:
    path = folder / "classes.npz"
    for overrides, missing in ((["missing.valid=null"], False), ([], True)):
        made = config(path, "method=concat", "missing.train=0.5", *overrides)
        masks = draw_masks(made, check_classification(made))[0.0].masks
        assert (~masks["train"]).any()
        assert (~masks["valid"]).any() == missing
