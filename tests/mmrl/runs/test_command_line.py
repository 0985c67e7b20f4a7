"""What is said of settings that do not exist."""

import pytest

from mmrl.runs.command_line import REFUSED, command_line
from mmrl.runs.composed import Composed
from mmrl.runs.settings import RunSettings


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *own: str) -> str:
    """What `mmrl.train task=classification` says of these settings."""

    def work(settings: Composed) -> None:
        pytest.fail("settings that do not exist were taken")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["mmrl.train", "task=classification", *own])
    with pytest.raises(SystemExit) as exit_:
        command_line("train", work, RunSettings)
    assert exit_.value.code == REFUSED
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (["fit.augment.image.rotate=5"], "+fit.augment.image=..."),
        (["data=digits", "data.missing.channels=[sound]"], "+data.missing.channels=..."),
        (["data.options.kinds.image=image"], "+data.options.kinds=..."),
        (
            ["method=gmc_supervised", "method.attention_dropout.audio=0.2"],
            "+method.attention_dropout.audio=...",
        ),
        (
            ["sweep.runs.smil.fit.steps=20"],
            "+method@sweep.runs.smil.method=... or +sweep.runs.smil={...}",
        ),
    ],
)
def test_groups_that_take_more_say_how(
    settings: list[str],
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(monkeypatch, capsys, *settings)
    assert said.startswith("mmrl: unknown setting ")
    assert said.endswith(f"\nadd another one with: {hint}\n")


def test_other_groups_do_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(monkeypatch, capsys, "missing.trian=0.5")
    assert said == "mmrl: unknown setting missing.trian; known in missing: train, valid, test\n"
