import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mmrl.checkpoint import CheckpointError, fingerprint, load, save
from mmrl.data import ArrayData
from mmrl.files import write_atomically
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.modality import Modality

MODALITIES = (Modality("image", (1, 8, 8), "image"), Modality("sound", (6,), "vector"))
CONFIG = GMCConfig(latent_dim=5, head=(16, 8), encoders={"image": {"channels": (4,)}})


def gmc() -> GMC:
    torch.manual_seed(0)
    method = GMC(MODALITIES, CONFIG)
    sound = np.random.default_rng(0).normal(1, 3, (20, 6))
    method.fit_inputs(
        ArrayData({"image": np.zeros((20, 1, 8, 8), np.uint8), "sound": sound}, MODALITIES)
    )
    return method.eval()


def test_loading_gives_the_same_method(tmp_path: Path) -> None:
    saved = gmc()
    save(saved, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.safetensors", "encoder.yaml"]
    for place in (tmp_path, tmp_path / "encoder.yaml", tmp_path / "encoder.safetensors"):
        loaded = load(place)
        assert isinstance(loaded, GMC)
        assert loaded.config == CONFIG
        assert loaded.modalities == MODALITIES
        assert not loaded.training
        values = {"image": torch.rand(3, 1, 8, 8), "sound": torch.randn(3, 6)}
        mask = torch.tensor([[True, True], [True, False], [False, True]])
        assert torch.equal(loaded.encode(values, mask), saved.encode(values, mask))


def test_the_description_is_readable(tmp_path: Path) -> None:
    save(gmc(), tmp_path, name="other")
    description = yaml.safe_load((tmp_path / "other.yaml").read_text())
    assert description["method"] == "gmc"
    assert description["modalities"][0] == {
        "name": "image",
        "shape": [1, 8, 8],
        "kind": "image",
        "shared_scale": False,
        "partial": "fill",
        "limits": None,
    }
    assert description["config"]["head"] == [16, 8]


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*encoder.yaml; .*notes.txt"):
        load(tmp_path)
    save(gmc(), tmp_path)
    (tmp_path / "encoder.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*encoder.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_damaged_weights_are_refused(tmp_path: Path, cut: int) -> None:
    save(gmc(), tmp_path)
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="damaged or belongs to another"):
        load(tmp_path)


def change(folder: Path, **entries: object) -> None:
    path = folder / "encoder.yaml"
    description = yaml.safe_load(path.read_text()) | entries
    path.write_text(yaml.safe_dump({k: v for k, v in description.items() if v is not None}))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": "other"}, "not a description of a method"),
        ({"version": 99}, "version 99; this release reads 1"),
        ({"method": "magic"}, "wants a method 'magic'; known: .*gmc,"),
        ({"method": None}, "damaged: it has no method"),
        ({"config": {"colour": 3}}, r"no setting \['colour'\]; known: \['latent_dim'"),
        (
            {"config": {"latent_dim": 7}},
            "do not fit|larger network than the weights",
        ),
        ({"modalities": [{"name": "image"}]}, "does not describe a 'gmc' method"),
    ],
)
def test_foreign_descriptions_are_refused(
    tmp_path: Path, entries: dict[str, object], message: str
) -> None:
    save(gmc(), tmp_path)
    change(tmp_path, **entries)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{[", "just words", "\x00\x01"])
def test_files_that_are_no_description_are_refused(tmp_path: Path, text: str) -> None:
    save(gmc(), tmp_path)
    (tmp_path / "encoder.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"encoder\.yaml is (not|damaged or no YAML)"):
        load(tmp_path)


def test_a_description_cannot_run_code(tmp_path: Path) -> None:
    save(gmc(), tmp_path)
    marker = tmp_path / "ran"
    (tmp_path / "encoder.yaml").write_text(f"!!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(CheckpointError, match="damaged or no YAML"):
        load(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "change_of",
    [
        {"config": {"latent_dim": 10**9}},
        {"config": {"latent_dim": 50_000}},
        {"config": {"head": [10**5] * 9}},
        {"modalities": [{"name": "sound", "shape": [10**9], "kind": "vector"}]},
        {"modalities": [{"name": "image", "shape": [1, 10**5, 10**5], "kind": "image"}]},
    ],
)
def test_no_memory_is_taken_for_absurd_sizes(tmp_path: Path, change_of: dict[str, Any]) -> None:
    save(gmc(), tmp_path)
    change(tmp_path, **change_of)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="does not describe a 'gmc' method") as refused:
        load(tmp_path)
    assert len(str(refused.value)) < 300 + len(str(tmp_path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    method = gmc()
    torch.nn.utils.vector_to_parameters(
        torch.full((sum(p.numel() for p in method.parameters()),), torch.nan), method.parameters()
    )
    save(method, tmp_path)
    with pytest.raises(CheckpointError, match=r"its weights .* are NaN or inf"):
        load(tmp_path)


def test_a_fingerprint_is_of_the_weights(tmp_path: Path) -> None:
    method = gmc()
    save(method, tmp_path)
    assert fingerprint(load(tmp_path)) == fingerprint(method)
    with torch.no_grad():
        next(method.parameters()).view(-1)[0] += 1
    assert fingerprint(load(tmp_path)) != fingerprint(method)


def test_a_full_disk_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bin"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write .*x\.bin \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_written_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "written", b"x")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "usual").stat().st_mode
