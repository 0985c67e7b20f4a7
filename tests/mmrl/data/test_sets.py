from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import yaml

from mmrl.data import DataError, load
from mmrl.data.missingness import make_rules
from mmrl.data.sets import LOADERS

CONFIGS = Path(__file__).parents[3] / "configs" / "data"

SHIPPED = {
    "avmnist": ((1050, 450), {"image": (1, 28, 28), "sound": (1, 32, 32)}),
    "digits": (
        (4500, 1000),
        {"image": (1, 28, 28), "sound": (1, 32, 32), "trajectory": (8, 2)},
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_whole(name: str) -> None:
    data = load(name)
    (train, test), shapes = SHIPPED[name]
    assert len(data.train) + len(data.valid) == train
    assert len(data.test) == test
    assert {m.name: m.shape for m in data.modalities} == shapes
    assert data.outputs == 10
    assert data.target_names[7] == "seven"
    assert data.task == "classes"
    for split in (data.train, data.valid, data.test):
        assert split.available.all()
        assert split.target is not None
        assert set(split.target.tolist()) == set(range(10))


def test_avmnist_has_the_papers_classes() -> None:
    data = load("avmnist")
    assert data.test.target is not None
    assert np.bincount(data.test.target).tolist() == [45] * 10


def test_batches_have_the_types_that_methods_take() -> None:
    batch = load("digits").test.batch(np.array([3, 0]))
    types = {name: str(value.dtype) for name, value in batch.values.items()}
    assert types == {
        "image": "torch.uint8",
        "sound": "torch.float32",
        "trajectory": "torch.float32",
    }
    assert batch.target is not None
    assert str(batch.target.dtype) == "torch.int64"
    assert float(batch.values["sound"].max()) == 80.0


@pytest.mark.parametrize("name", SHIPPED)
def test_each_modality_tells_the_class_of_unseen_samples(name: str) -> None:
    """Ridge regression is far above chance on each modality: the samples are joined rightly."""
    data = load(name)
    assert data.train.target is not None
    assert data.test.target is not None
    for modality in data.modalities:
        train, test = (
            np.asarray(split.values[modality.name][:], float).reshape(len(split), -1)
            for split in (data.train, data.test)
        )
        mean = train.mean(axis=0)
        scale = np.abs(train).max()
        train, test = (train - mean) / scale, (test - mean) / scale
        classes = np.eye(10)[data.train.target] - 0.1
        weights = np.linalg.solve(train.T @ train + 10 * np.eye(train.shape[1]), train.T @ classes)
        accuracy = np.mean((test @ weights).argmax(axis=1) == data.test.target)
        assert accuracy > 0.7, modality.name


def test_the_validation_split_is_stratified_and_drawn_by_seed() -> None:
    first, again, other = (load("avmnist", seed=seed) for seed in (1, 1, 2))
    assert first.valid.target is not None
    assert np.bincount(first.valid.target).tolist() == [10] * 10
    np.testing.assert_array_equal(first.valid.values["sound"][:], again.valid.values["sound"][:])
    assert not np.array_equal(first.valid.values["sound"][:], other.valid.values["sound"][:])


def test_a_bad_request_says_what_there_is() -> None:
    with pytest.raises(DataError, match="unknown data set 'mnist'; known: avmnist, digits, file"):
        load("mnist")
    with pytest.raises(DataError, match="avmnist has no option split; known: valid_share, seed"):
        load("avmnist", split=1)
    with pytest.raises(DataError, match="takes no path"):
        load("avmnist", "/somewhere")
    with pytest.raises(DataError, match="file is not shipped: give the path"):
        load("file")
    assert {"avmnist", "digits", "file"} <= set(LOADERS)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_set_has_a_config_that_fits(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    assert set(config) <= {"name", "options", "missing", "rates"}
    assert config["name"] == path.stem
    assert set(config["options"]) <= set(signature(LOADERS[config["name"]]).parameters)
    assert make_rules(0.3, config["missing"])[0].rate == 0.3


def test_every_set_has_a_config() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(LOADERS)
