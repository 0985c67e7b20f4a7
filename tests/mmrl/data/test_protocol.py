from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mmrl.data import ArrayData, DataError, DataSet
from mmrl.data.protocol import Drawn, MissingnessProtocol
from mmrl.modality import Modality

MODALITIES = (Modality("image", (2,), "vector"), Modality("sound", (3,), "vector"))
CLASSES = ("a", "b")


def make(seed: int = 0) -> DataSet:
    rng = np.random.default_rng(seed)
    splits: dict[str, Any] = {}
    for split, samples in {"train": 400, "valid": 40, "test": 100}.items():
        values = {m.name: rng.normal(size=(samples, *m.shape)) for m in MODALITIES}
        target = rng.integers(0, 2, samples)
        splits[split] = ArrayData(values, MODALITIES, target=target)
    return DataSet("made", target_names=CLASSES, **splits)


SMIL = {"pattern": "smil", "rate": 0.9}


def test_splits_have_their_own_rules_and_streams() -> None:
    data = make()
    drawn = MissingnessProtocol.make(train=SMIL, test=0.3, seed=5).draw(data)
    other = MissingnessProtocol.make(train=SMIL, test=None, seed=5).draw(data)
    np.testing.assert_array_equal(drawn.masks["train"], other.masks["train"])
    assert other.masks["test"].all()
    assert drawn.realised["train"]["per_modality"] == {
        "image": 0.0,
        "sound": pytest.approx(0.9, abs=0.01),
    }
    # Without its own rules, validation has those of training.
    assert drawn.realised["valid"]["per_modality"]["sound"] == pytest.approx(0.9, abs=0.03)
    complete = MissingnessProtocol.make(train=SMIL, valid=0.0, seed=5).draw(data)
    assert complete.masks["valid"].all()


def test_a_rate_alone_is_of_the_sets_default_rule() -> None:
    default = {"pattern": "smil", "channels": ["sound"]}
    short = MissingnessProtocol.make(train=0.9, test=0.0, default=default).draw(make())
    long = MissingnessProtocol.make(train=SMIL | {"channels": ["sound"]}).draw(make())
    np.testing.assert_array_equal(short.masks["train"], long.masks["train"])
    assert short.masks["test"].all()


def test_applying_hides_but_changes_no_value() -> None:
    data = make()
    masked = MissingnessProtocol.make(
        train=SMIL, test={"pattern": "fixed", "channels": ["image"]}
    ).draw(data)
    out = masked.apply(data)
    np.testing.assert_array_equal(out.train.available, masked.masks["train"])
    assert (out.test.available == [False, True]).all()
    np.testing.assert_array_equal(out.train.values["sound"][:], data.train.values["sound"][:])
    assert data.train.available.all()


def test_saved_masks_are_the_same_masks(tmp_path: Path) -> None:
    data = make()
    drawn = MissingnessProtocol.make(
        train=SMIL, test={"rate": 0.4, "depends_on": "class"}, seed=2
    ).draw(data)
    drawn.save(tmp_path / "missing")
    loaded = Drawn.load(tmp_path / "missing")
    assert loaded.protocol == drawn.protocol
    for split, mask in drawn.masks.items():
        np.testing.assert_array_equal(loaded.apply(data)[split].available, mask)
    described = yaml.safe_load((tmp_path / "missing.yaml").read_text())
    assert described["realised"] == drawn.realised
    again = MissingnessProtocol.make(
        **{s: described["protocol"][s] for s in ("train", "valid", "test")},
        seed=described["protocol"]["seed"],
    )
    np.testing.assert_array_equal(again.draw(data).masks["test"], drawn.masks["test"])


def test_masks_of_other_data_are_refused() -> None:
    drawn = MissingnessProtocol.make(train=0.1).draw(make())
    with pytest.raises(DataError, match=r"differ in \['train', 'valid', 'test'\]"):
        drawn.apply(make(seed=1))


def test_missing_or_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the masks"):
        Drawn.load(tmp_path / "none")
    drawn = MissingnessProtocol.make(train=0.1).draw(make())
    drawn.save(tmp_path / "missing")
    (tmp_path / "missing.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="missing"):
        Drawn.load(tmp_path / "missing")
    drawn.save(tmp_path / "missing")
    (tmp_path / "missing.yaml").write_text("data: made\n")
    with pytest.raises(DataError, match=r"hold no masks \(KeyError"):
        Drawn.load(tmp_path / "missing")
