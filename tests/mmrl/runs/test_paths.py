from __future__ import annotations

from pathlib import Path

import pytest

from mmrl.runs.paths import settled


def test_links_are_followed_and_paths_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "outputs" / "first"
    run.mkdir(parents=True)
    (tmp_path / "outputs" / "latest").symlink_to("first")
    (tmp_path / "own.npz").touch()
    content = {
        "encoder": "outputs/latest",
        "collect": {"policy": "outputs/latest", "samples": 3},
        "data": {"path": "own.npz", "name": "file"},
        "seed": 1,
    }
    assert settled(content) == {
        "encoder": str(run),
        "collect": {"policy": str(run), "samples": 3},
        "data": {"path": str(tmp_path / "own.npz"), "name": "file"},
        "seed": 1,
    }
    assert content["encoder"] == "outputs/latest"


@pytest.mark.parametrize(
    "content",
    [
        {"encoder": None, "collect": {"policy": "random"}, "data": {"path": ""}},
        {"encoder": "outputs/nowhere"},
        {"collect": None, "data": 3, "encoder": 7},
        {},
    ],
)
def test_what_leads_nowhere_stays_as_it_is(
    content: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settled(content) == content
