"""Run folders: whole or not at all, never overwritten, never mixed."""

import errno
import json
import os
from pathlib import Path

import pytest
import yaml

from mmrl.runs.folder import RunFolder, RunFolderError, differences, is_full_disk

SETTINGS = {"seed": 3, "agent": {"total_timesteps": 10, "noise": [1, 2]}}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", SETTINGS)


def test_create_records_settings_and_versions(run: RunFolder) -> None:
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == SETTINGS
    versions = json.loads((run.path / "versions.json").read_text())
    assert versions["packages"]["numpy"]
    assert versions["python"].startswith("3.")


def test_existing_folders_are_never_used_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    paths = [RunFolder.create(tmp_path / "run", SETTINGS).path for _ in range(2)]
    assert [path.name for path in paths] == ["run-2", "run-3"]
    assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"


def test_creating_leaves_nothing_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mmrl.runs.folder.write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        RunFolder.create(tmp_path / "run", SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_finished_stages_are_known_to_the_next_process(run: RunFolder) -> None:
    with run.stage("collect", ("data.npz",)):
        run.write_bytes("data.npz", b"data")
    again = RunFolder.open(run.path)
    assert again.finished("collect")
    assert not again.finished("train")
    assert again.config == SETTINGS
    assert again.metrics()["seconds"]["collect"] >= 0


def test_a_failed_stage_is_not_finished_and_keeps_its_scratch(run: RunFolder) -> None:
    def interrupted() -> None:
        with run.stage("train", ("policy.zip",)) as scratch:
            (scratch / "state").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    again = RunFolder.open(run.path)
    assert not again.finished("train")
    with again.stage("train", ("policy.zip",)) as scratch:
        assert (scratch / "state").read_text() == "half"
        again.write_bytes("policy.zip", b"policy")
    assert not scratch.exists()
    assert again.files() == [
        "config.yaml",
        "metrics.json",
        "policy.zip",
        "stages.json",
        "versions.json",
    ]


def test_a_full_disk_is_said_with_what_is_kept(run: RunFolder) -> None:
    with run.stage("collect", ()):
        pass
    with (
        pytest.raises(
            RunFolderError, match=r"disk is full: stage 'train'.*kept \(collect\).*resume="
        ),
        run.stage("train", ()),
    ):
        raise RuntimeError("writing failed") from OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (OSError(errno.EACCES, "x"), False),
        (ValueError("x"), False),
    ],
)
def test_full_disks_are_recognised(error: BaseException, full: bool) -> None:
    assert is_full_disk(error) is full


def test_open_refuses_a_missing_folder_and_names_the_neighbours(run: RunFolder) -> None:
    with pytest.raises(RunFolderError, match=r"no run folder at .*other; runs in .*: run"):
        RunFolder.open(run.path.parent / "other")


def test_open_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"not the folder of a run: no config.yaml \(it is em"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("content", ["[1, 2", "just text", "", "\x00"])
def test_open_refuses_damaged_settings(run: RunFolder, content: str) -> None:
    (run.path / "config.yaml").write_text(content)
    with pytest.raises(RunFolderError, match=r"config.yaml is damaged"):
        RunFolder.open(run.path)


@pytest.mark.parametrize("content", ["{", "[]", '{"collect": 1}', '{"collect": {"files": []}}'])
def test_open_refuses_damaged_stages(run: RunFolder, content: str) -> None:
    (run.path / "stages.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"stages.json is damaged"):
        RunFolder.open(run.path)


def test_open_refuses_a_finished_stage_without_its_files(run: RunFolder) -> None:
    with run.stage("pretrain", ("encoder.yaml",)):
        run.write_text("encoder.yaml", "x")
    (run.path / "encoder.yaml").unlink()
    with pytest.raises(RunFolderError, match=r"'pretrain' is marked as finished, but encoder.yaml"):
        RunFolder.open(run.path)


def test_discarded_files_are_not_missed(run: RunFolder) -> None:
    with run.stage("collect", ("data.npz",)):
        run.write_bytes("data.npz", b"data")
    run.discard("collect", "data.npz")
    assert not (run.path / "data.npz").exists()
    assert RunFolder.open(run.path).finished("collect")


def test_latest_follows_the_newest_run(run: RunFolder) -> None:
    latest = run.path.parent / "latest"
    other = RunFolder.create(run.path.parent / "other", SETTINGS)
    assert run.point_latest(latest) is None
    assert other.point_latest(latest) is None
    assert latest.resolve() == other.path.resolve()
    assert RunFolder.open(latest).config == SETTINGS


def test_latest_spares_what_is_no_link(run: RunFolder) -> None:
    latest = run.path.parent / "latest"
    latest.write_text("mine")
    assert "left as it is" in str(run.point_latest(latest))
    assert latest.read_text() == "mine"


def test_without_links_there_is_a_note(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*arguments: object) -> None:
        raise NotImplementedError("no links here")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    assert "no links here" in str(run.point_latest(run.path.parent / "latest"))


def test_subfolders_are_numbered(run: RunFolder) -> None:
    names = [run.new_subfolder("evaluation").name for _ in range(3)]
    assert names == ["evaluation-1", "evaluation-2", "evaluation-3"]


def test_json_has_no_nan(run: RunFolder) -> None:
    run.write_json("x.json", {"a": float("nan"), "b": (1.5, float("inf"))})
    assert json.loads((run.path / "x.json").read_text()) == {"a": None, "b": [1.5, None]}


def test_differences_name_nested_settings() -> None:
    stored = {"seed": 0, "agent": {"total_timesteps": 9, "gone": 1}, "same": [1]}
    given = {"seed": 0, "agent": {"total_timesteps": 3}, "same": [1], "new": 2}
    assert differences(stored, given) == {
        "agent.total_timesteps": (9, 3),
        "agent.gone": (1, None),
        "new": (None, 2),
    }


def test_contents_name_folders_once(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {"seed": 0})
    for name in ("tb/a", "tb/b", "member/tb/c", ".fit/state"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("")
    assert run.contents() == ["config.yaml", "member/", "tb/", "versions.json"]


@pytest.mark.skipif(os.name != "posix", reason="nobody locks there")
def test_two_processes_do_not_work_in_one_folder(run: RunFolder) -> None:
    again = RunFolder.open(run.path)

    def both() -> None:
        with run.locked(), again.locked():
            pytest.fail("two were at work")

    with pytest.raises(RunFolderError, match=r"another process is at work in .*run: wait"):
        both()
    with again.locked():
        assert {path.name for path in run.path.iterdir()} == {"config.yaml", "versions.json"}


def test_what_killed_processes_left_is_swept(run: RunFolder, tmp_path: Path) -> None:
    with run.stage("collect", ("data.npz",)):
        run.write_bytes("data.npz", b"data")
    kept = {path.name for path in run.path.iterdir()} | {".train", "missing", "member"}
    for folder in (".train", ".collect", "missing", "member"):
        (run.path / folder).mkdir()
    (run.path / "member" / "config.yaml").touch()
    (run.path / ".metrics.json.ab12_xyz").touch()
    (run.path / "missing" / ".test-0.npz.abcdefgh").touch()
    (run.path / "member" / ".policy.zip.abcdefgh").touch()  # of whoever is at work there
    mine = [tmp_path / ".config.settings", tmp_path / ".git.abcdefgh", tmp_path / ".hidden"]
    for path in mine:
        path.touch()
    half = tmp_path / ".2026-01-02_03-04-05-default-seed0.abcdefgh"
    half.mkdir()
    with run.locked():
        assert {path.name for path in run.path.iterdir()} == kept
        assert list((run.path / "missing").iterdir()) == []
        assert len(list((run.path / "member").iterdir())) == 2
    RunFolder.create(tmp_path / "other", SETTINGS)
    assert not half.exists()
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("content", ["null", "[1]", "3", "{", "\x00"])
@pytest.mark.parametrize("name", ["metrics.json", "stages.json", "config.yaml"])
def test_damaged_files_are_named_in_a_sentence(run: RunFolder, name: str, content: str) -> None:
    (run.path / name).write_text(content)
    with pytest.raises(RunFolderError, match=name) as error:
        RunFolder.open(run.path).metrics()
    assert len(str(error.value)) < 300 + len(str(run.path))


@pytest.mark.parametrize("file", ["../other", "/etc/passwd", "a/../../b"])
def test_stages_have_no_files_outside(run: RunFolder, file: str) -> None:
    facts = {"finished": "", "seconds": 1, "files": [file]}
    (run.path / "stages.json").write_text(json.dumps({"collect": facts}))
    with pytest.raises(RunFolderError, match="is no file of the run"):
        RunFolder.open(run.path)
