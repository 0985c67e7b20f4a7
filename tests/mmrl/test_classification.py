"""task=classification: from data to scores, killed and continued, joined, and on control's side."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hydra import compose, initialize_config_dir

from mmrl import checkpoint
from mmrl.classification import check_classification, classify
from mmrl.classification_config import ClassificationConfig, classification_from_mapping
from mmrl.classification_scores import draw_masks
from mmrl.config import CONFIGS, to_plain
from mmrl.data.missingness import make_rules
from mmrl.data.protocol import Drawn
from mmrl.evaluate import work as evaluate
from mmrl.methods import METHODS, Supervised
from mmrl.progress import make_console, read_curve
from mmrl.run_folder import RunFolder, RunFolderError
from mmrl.settings import ConfigError
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.vec_env import GymnasiumVecEnv

CLASSES = 3
SIZES = {"train": 90, "valid": 30, "test": 45}
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
QUICK = ["+method.trunks={image: {channels: [4, 4], width: 16}}"]


def arrays(target_type: str = "classes") -> dict[str, np.ndarray]:
    """Three classes that either modality shows clearly."""
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    patterns = rng.integers(0, 256, (CLASSES, 1, 8, 8))
    centres = rng.normal(size=(CLASSES, 5)) * 3
    for split, size in SIZES.items():
        classes = np.arange(size) % CLASSES
        noise = rng.normal(size=(size, 1, 8, 8)) * 20
        made[f"{split}/image"] = np.clip(patterns[classes] + noise, 0, 255).astype(np.uint8)
        sounds = centres[classes] + rng.normal(size=(size, 5)) * 0.3
        made[f"{split}/sound"] = sounds.astype(np.float32)
        numbers = (classes[:, None] - 1.0 + rng.normal(size=(size, 1)) * 0.1).astype(np.float32)
        labels = np.stack([classes == 0, classes > 0, classes < 2], axis=1).astype(np.uint8)
        kinds: dict[str, np.ndarray] = {"classes": classes, "numbers": numbers, "labels": labels}
        made[f"{split}/target"] = kinds[target_type]
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for kind in ("classes", "numbers", "labels"):
        np.savez_compressed(made / f"{kind}.npz", **arrays(kind))  # type: ignore[arg-type]
    return made


def settings(path: Path | None, *overrides: str) -> dict[str, Any]:
    data = [] if path is None else ["data=file", f"data.path={path}"]
    everywhere = ["experiment=smoke_classification", "device=cpu", "fit.accelerator=cpu"]
    everywhere += ["pretrain.accelerator=cpu", *data, *overrides]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=everywhere))
    plain.pop("resume")
    return plain


def config(path: Path | None, *overrides: str) -> ClassificationConfig:
    return classification_from_mapping(settings(path, *overrides))


def run_here(where: Path, path: Path, *overrides: str) -> RunFolder:
    made = config(path, *overrides)
    run = RunFolder.create(where, settings(path, *overrides))
    classify(made, check_classification(made), run, make_console())
    return run


def rows_of(run: RunFolder) -> list[dict[str, str]]:
    with (run.path / "scores.csv").open() as file:
        return list(csv.DictReader(file))


LEARNS = ["fit.steps=60", "fit.lr=1e-2", "missing.train=0.4"]


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    where = tmp_path_factory.mktemp("outputs") / "run"
    return run_here(where, folder / "classes.npz", "method=concat", *LEARNS)


def test_a_run_leaves_everything(finished: RunFolder) -> None:
    files = {name for name in finished.files() if not name.startswith("tb/")}
    assert files == FILES
    assert list(finished.stages) == ["data", "fit", "score"]
    assert list((finished.path / "tb").glob("events.*"))


def test_every_subset_and_every_rate_is_scored(finished: RunFolder) -> None:
    rows = rows_of(finished)
    assert list(rows[0]) == [
        "method",
        "data",
        "subset",
        "train_rate",
        "test_rate",
        "seed",
        "metric",
        "value",
    ]
    accuracy = {
        (row["subset"], float(row["test_rate"])): float(row["value"])
        for row in rows
        if row["metric"] == "accuracy"
    }
    subsets = ("image+sound", "image", "sound")
    assert list(accuracy) == [(subset, rate) for rate in (0.0, 0.5) for subset in subsets]
    assert min(accuracy[subset, 0.0] for subset in subsets) > 0.8
    assert accuracy["image+sound", 0.5] > 0.8
    # Half of the samples have nothing of a single modality, and their class is guessed.
    assert accuracy["image", 0.5] < accuracy["image", 0.0] - 0.1
    assert {(r["method"], r["data"], float(r["train_rate"]), r["seed"]) for r in rows} == {
        ("concat", "classes", 0.4, "0")
    }
    assert {r["metric"] for r in rows} == {
        "accuracy",
        "balanced_accuracy",
        "f1_weighted",
        "f1_macro",
    }


def test_the_scores_are_those_of_the_checkpoint(finished: RunFolder, folder: Path) -> None:
    made = config(folder / "classes.npz", "method=concat", *LEARNS)
    data = check_classification(made)
    method = checkpoint.load(finished.path)
    assert isinstance(method, Supervised)
    drawn = Drawn.load(finished.path / "missing" / "test-0.5")
    batch = data.test.batch(np.arange(len(data.test)))
    with torch.no_grad():
        found = method.predict(batch.values, torch.from_numpy(drawn.masks["test"])).argmax(1)
    value = float((found.numpy() == data.test.target).mean())
    wanted = [r for r in rows_of(finished) if r["test_rate"] == "0.5" and r["metric"] == "accuracy"]
    assert float(wanted[0]["value"]) == pytest.approx(value, abs=1e-6)


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


def test_metrics_say_what_was_missing_and_when_it_was_best(finished: RunFolder) -> None:
    metrics = finished.metrics()
    assert metrics["data"]["samples"] == SIZES
    assert metrics["data"]["realised"]["train"]["overall"] == pytest.approx(0.4, abs=0.1)
    validation = read_curve(finished.path / "validation.csv")
    best = max(validation["accuracy"])
    last = max(validation["step"][validation["accuracy"] == best])
    assert metrics["fit"]["best_step"] == last
    steps = read_curve(finished.path / "fitting.csv")["step"]
    assert steps.tolist() == list(range(1, metrics["fit"]["steps"] + 1))


def test_a_method_without_labels_gets_a_classifier(folder: Path, tmp_path: Path) -> None:
    run = run_here(tmp_path / "run", folder / "classes.npz", "method=gmc", "missing.train=0.2")
    assert list(run.stages) == ["data", "pretrain", "fit", "score"]
    assert not (run.path / "pretrained.yaml").exists()
    method = checkpoint.load(run.path)
    assert (method.name, method.latent_dim) == ("downstream", 10)
    assert {row["method"] for row in rows_of(run)} == {"gmc"}


def test_numbers_have_the_scores_of_numbers(folder: Path, tmp_path: Path) -> None:
    run = run_here(
        tmp_path / "run",
        folder / "numbers.npz",
        "method=sum",
        "missing.test={pattern: fixed, channels: [sound]}",
    )
    found = {(r["subset"], r["test_rate"], r["metric"]) for r in rows_of(run)}
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
        if (row["subset"], row["test_rate"]) == ("image+sound", "0.0")
    }
    assert set(whole) == names
    assert min(whole.values()) > 0.8
    assert set(read_curve(run.path / "validation.csv")) == {"step", *names}
    assert set(run.metrics()["score"]) == {"f1_weighted"}
    loaded = checkpoint.load(run.path)
    assert isinstance(loaded, Supervised)
    assert (loaded.config.task, loaded.outputs) == ("labels", 3)


def test_what_needs_classes_refuses_labels(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"method: condition is 'flow', and several labels .* no"):
        check_classification(config(folder / "labels.npz", "method=dicmor", "fit.steps=600"))
    ablated = config(folder / "labels.npz", "method=dicmor_no_classes", "fit.steps=600")
    assert check_classification(ablated).task == "labels"


def test_runs_are_joined_over_seeds(
    finished: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "classes.npz"
    other = run_here(tmp_path / "other", path, "method=concat", "seed=1", *LEARNS)
    joined(finished, other)
    (out,) = finished.path.glob("evaluation-*")
    summaries = json.loads((out / "scores.json").read_text())["summaries"]
    values = [float(rows_of(run)[0]["value"]) for run in (finished, other)]
    assert summaries[0]["seeds"] == 2
    assert summaries[0]["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert summaries[0]["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert (out / "scores.png").exists()
    assert len((out / "scores.csv").read_text().splitlines()) == 2 * len(rows_of(other)) + 1
    assert "±" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="seed 0 occurs twice for 'concat'"):
        joined(finished, finished)
    with pytest.raises(ConfigError, match="episodes, video mean nothing for classification runs"):
        joined(finished, other, "episodes=3", "video=false")


def joined(first: RunFolder, second: RunFolder, *overrides: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        runs = f"run=[{first.path},{second.path}]"
        evaluate(compose("evaluate", overrides=[runs, *overrides]))


def test_a_run_without_scores_cannot_be_joined(folder: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", settings(folder / "classes.npz"))
    with pytest.raises(RunFolderError, match="the run was not scored yet"):
        joined(run, run)


def test_other_data_are_not_taken_for_those_of_the_run(
    finished: RunFolder, folder: Path, tmp_path: Path
) -> None:
    changed = arrays()
    changed["train/target"] = changed["train/target"][::-1]
    np.savez_compressed(tmp_path / "classes.npz", **changed)  # type: ignore[arg-type]
    made = config(tmp_path / "classes.npz", "method=concat", *LEARNS)
    with pytest.raises(ConfigError, match=r"its samples differ in \['train'\]"):
        classify(made, check_classification(made), finished, make_console())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.name=mnist"], r"data: unknown data set 'mnist'; known: avmnist, digits, file"),
        (["data.path=nowhere.npz"], r"data: .*nowhere\.npz"),
        (["data.path=null"], r"data: file is not shipped: give the path"),
        (["+data.options.colour=red"], r"data: file has no option colour; known: kinds, steps"),
        (["+data.nam=x"], r"unknown setting data\.nam; known in data: name, path, options"),
        (["method.name=smile"], r"method\.name is 'smile'; known: .*smil"),
        (["method=none"], r"method is 'none', and classification wants one of concat"),
        (["+method.outputs=7"], r"method\.outputs is not set: it is what the data have"),
        (["missing.train=1.5"], r"missing\.train: a missing rate must be .* below 1, got 1\.5"),
        (["missing.test=[0.5,1.0]"], r"missing\.test: a missing rate must be .*, got 1\.0"),
        (["missing.train=[0.5,0.6]"], r"train must be null, a rate, a rule or a list of rules"),
        (["missing.valid=half"], r"valid must be null, a rate, a rule or .*, got 'half'"),
        (["missing.train={pattern: moon}"], r"missing\.train: a missing rule has 'moon'; known"),
        (
            ["missing.train={pattern: fixed, channels: [smell]}"],
            r"missing: a fixed rule names \['smell'\]; the modalities are \['image', 'sound'\]",
        ),
        (
            ["method=gmc", "missing.train={pattern: fixed, channels: [sound]}"],
            r"gmc learns from complete samples, of which missing\.train leaves 0 of 90: fewer",
        ),
        (["fit.batch_size=91"], r"concat learns from samples, .* 90 of 90: .*batch_size=91"),
        (["method=smil"], r"method\.pretrain_steps=500 leaves nothing of fit\.steps=20"),
        (["+method.trunks.smell={}"], r"method: trunks names \['smell'\]"),
        (["classifier.hidden=[0]"], r"classifier: hidden must be positive widths, got \[0\]"),
        (["seed=-1"], r"seed must not be negative"),
        (["+env=pendulum"], r"unknown setting env; known: task"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    folder: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_classification(config(folder / "classes.npz", "method=concat", *overrides))


def test_what_a_method_cannot_learn_from_is_said(folder: Path, tmp_path: Path) -> None:
    overrides = ["method=smil", "method.pretrain_steps=3", "method.clusters=80"]
    with pytest.raises(ConfigError, match="smil cannot be trained like this: modality 'image'"):
        run_here(tmp_path / "run", folder / "classes.npz", *overrides, "missing.train=0.5")


OPTIONS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
SETS = sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml"))


@pytest.mark.parametrize("option", [name for name in OPTIONS if name != "none"])
def test_every_method_composes(option: str, folder: Path) -> None:
    made = config(folder / "classes.npz", f"method={option}", "fit.steps=2000")
    assert METHODS[made.method].Config is type(made.method_settings)


@pytest.mark.parametrize("option", SETS)
def test_every_data_set_composes(option: str) -> None:
    shipped = option in ("avmnist", "digits")
    made = config(None, f"data={option}", *([] if shipped else ["data.path=x"]))
    assert made.data.name == option
    assert made.missing.tests == (0.0, 0.5)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("train", overrides=["task=classification", f"data={option}"])
    for rate in composed.missing.test:
        assert make_rules(rate, composed.data.missing)


def test_the_shipped_default_is_ready() -> None:
    made = config(None)
    data = check_classification(made)
    assert (data.name, made.method, data.task) == ("avmnist", "gmc", "classes")


# The checkpoint on the other side.


class Shows(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """Shows the test samples one after the other."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.values = values
        self.place = 0
        channels: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(0, 255, x.shape[1:], np.uint8)
            if x.dtype == np.uint8
            else spaces.Box(-np.inf, np.inf, x.shape[1:], np.float32)
            for name, x in values.items()
        }
        channels["available"] = spaces.MultiBinary(2)
        self.observation_space = spaces.Dict(channels)  # type: ignore[assignment]
        self.masks = np.array([[1, 1], [1, 0], [0, 1]], np.int8)

    def observe(self) -> dict[str, np.ndarray]:
        shown = {name: x[self.place] for name, x in self.values.items()}
        return {"available": self.masks[self.place % 3], **shown}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return self.observe(), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.place += 1
        return self.observe(), 0.0, False, False, {}


def test_the_same_features_come_out_on_both_sides(finished: RunFolder, folder: Path) -> None:
    made = config(folder / "classes.npz", "method=concat", *LEARNS)
    test = check_classification(made).test
    values = {m.name: np.asarray(test.values[m.name][:]) for m in test.modalities}
    envs = SyncVectorEnv(
        [lambda: Shows(values)] * 2,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    venv = LatentVecEnv(GymnasiumVecEnv(envs), checkpoint.load(finished.path))
    latents = [venv.reset()]
    latents += [venv.step(np.zeros((2, 1), np.float32))[0] for _ in range(len(test) - 1)]
    method = checkpoint.load(finished.path)
    masks = torch.from_numpy(Shows(values).masks).bool().repeat(len(test) // 3, 1)
    with torch.no_grad():
        expected = method.encode(test.batch(np.arange(len(test))).values, masks).numpy()
    for column in range(2):
        seen = np.stack([latent[column] for latent in latents])  # type: ignore[index]
        # Two samples at once there, all of them here: sums differ in the last bit.
        assert np.abs(seen - expected).max() < 1e-6 * np.abs(expected).max()


def test_an_environment_that_does_not_fit_is_told_apart(finished: RunFolder) -> None:
    image, smell = np.zeros((3, 1, 8, 9), np.uint8), np.zeros((3, 5), np.float32)
    values: dict[str, np.ndarray] = {"image": image, "smell": smell}
    envs = SyncVectorEnv([lambda: Shows(values)], autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(ValueError, match="no channel 'sound'; channel 'smell' is unknown") as found:
        LatentVecEnv(GymnasiumVecEnv(envs), checkpoint.load(finished.path))
    assert "channel 'image' has shape (1, 8, 9) instead of (1, 8, 8)" in str(found.value)


# The command itself, in processes of its own.


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "mmrl.train", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=mnist"], "Available options in 'data':\n\tavmnist"),
        (["agent=ppo"], "Could not override 'agent'. No match in the defaults list."),
        (["missing.trian=0.5"], "unknown setting missing.trian; known in missing: train, valid"),
        (["missing.train=1.5"], "mmrl: missing.train: a missing rate must be at least 0"),
    ],
)
def test_the_command_refuses_in_a_sentence(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    process = command(tmp_path, "task=classification", *arguments)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


UNDER_WAY = {"pretrain": ".pretrain/fit.pt", "fit": ".fit/fit.pt", "score": ".score"}


@pytest.mark.slow
def test_a_run_killed_in_every_stage_is_finished_by_resuming(folder: Path, tmp_path: Path) -> None:
    arguments = ["experiment=smoke_classification", "data=file", "missing.train=0.2"]
    arguments += [f"data.path={folder / 'classes.npz'}", "pretrain.save_every=0.05"]
    arguments += ["pretrain.steps=300", "fit.steps=300", "fit.save_every=0.05"]
    arguments += ["fit.patience=null", "fit.accelerator=cpu", "pretrain.accelerator=cpu"]
    finished: dict[str, Any] = {}
    resume: list[str] = []
    for stage, pattern in UNDER_WAY.items():
        process = command(tmp_path, *arguments, *resume)
        kill_when(process, tmp_path / "outputs", pattern)
        (path,) = (tmp_path / "outputs").glob("*-smoke_classification-*")
        run = RunFolder.open(path)
        if stage != "score":  # a short stage may end before the kill arrives
            assert stage not in run.stages
        assert {name: run.stages[name] for name in finished} == finished
        finished = {name: facts for name, facts in run.stages.items() if name != "pretrain"}
        resume = ["resume=outputs/latest"]
    output, errors = command(tmp_path, "resume=outputs/latest").communicate(timeout=900)
    assert "finished: data, pretrain, fit" in output, errors
    run = RunFolder.open(path)
    assert list(run.stages) == ["data", "pretrain", "fit", "score"]
    assert read_curve(path / "fitting.csv")["step"].tolist() == list(range(1, 301))
    whole = run_here(tmp_path / "whole", folder / "classes.npz", *arguments[2:3], *arguments[4:])
    weights = [checkpoint.load(folder).state_dict() for folder in (path, whole.path)]
    assert all(torch.equal(weights[0][key], value) for key, value in weights[1].items())


def kill_when(process: subprocess.Popen[str], outputs: Path, pattern: str) -> None:
    deadline = time.monotonic() + 900
    while not list(outputs.glob(f"*-smoke_classification-*/{pattern}")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {pattern} in time"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
