"""`python -m mmrl.train task=classification`, in processes of its own."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mmrl import checkpoint
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import read_curve
from tests.mmrl.small_classification import run_here
from tests.mmrl.training_command import assert_refused, command


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
    assert_refused(tmp_path, ["task=classification", *arguments], message)


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
