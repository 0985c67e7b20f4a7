"""Running mean and variance per channel, and their file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrl_envs.wrappers.channel_statistics import ChannelStatistics


def test_batches_of_any_size_give_the_mean_and_variance_of_all() -> None:
    rng = np.random.default_rng(0)
    joints, sound = rng.normal(1e4, 1.0, (500, 3)), rng.uniform(-1, 5, (500, 2, 2))
    statistics = ChannelStatistics({"joints": (3,), "sound": (2, 2)})
    for part in np.array_split(np.arange(500), [1, 2, 7, 100, 101, 400]):
        statistics.update({"joints": joints[part], "sound": sound[part]})
    for name, values in (("joints", joints), ("sound", sound)):
        assert (statistics.count[name] == 500).all()
        np.testing.assert_allclose(statistics.mean[name], values.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(statistics.variance[name], values.var(axis=0), rtol=1e-8)


def test_missing_values_are_not_seen() -> None:
    statistics = ChannelStatistics({"a": (2,), "b": (1,)})
    statistics.update({"a": np.array([[1, 2], [np.nan, 50], [3, 4]]), "b": np.ones((3, 1))})
    statistics.update({"a": np.array([[np.inf, 50]]), "b": np.ones((1, 1))})
    assert {name: c.tolist() for name, c in statistics.count.items()} == {"a": [2, 4], "b": [4]}
    assert statistics.mean["a"].tolist() == [2, np.mean([2, 50, 4, 50])]
    assert statistics.variance["a"].tolist() == [1, np.var([2, 50, 4, 50])]


def test_normalizing_clips_and_keeps_missing_values_missing() -> None:
    statistics = ChannelStatistics({"a": (2,)})
    statistics.update({"a": np.array([[0.0, 0.0], [2.0, 4.0]])})
    values = np.array([[3.0, -100.0], [np.nan, 2.0], [np.inf, 4.0]])
    normalized = statistics.normalize("a", values, clip=5.0, epsilon=1e-12)
    expected = np.array([[2, -5], [np.nan, 0], [np.nan, 1]])
    np.testing.assert_allclose(normalized, expected, atol=1e-6)
    assert normalized.dtype == np.float32


def test_nothing_seen_changes_nothing() -> None:
    statistics = ChannelStatistics({"a": (2,)})
    normalized = statistics.normalize("a", np.array([0.5, -2]), clip=10.0, epsilon=1e-12)
    np.testing.assert_allclose(normalized, [0.5, -2])


def test_a_file_restores_them(tmp_path: Path) -> None:
    statistics = ChannelStatistics({"arm/joints": (2,), "sound": (2, 1)})
    values = np.random.default_rng(0).normal(size=(9, 2))
    statistics.update({"arm/joints": values, "sound": values[..., None]})
    path = tmp_path / "run" / "channels.npz"
    statistics.save(path)
    statistics.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["channels.npz"]
    restored = ChannelStatistics.load(path)
    for name in statistics.count:
        np.testing.assert_array_equal(restored.count[name], statistics.count[name])
        np.testing.assert_array_equal(restored.mean[name], statistics.mean[name])
        np.testing.assert_array_equal(restored.variance[name], statistics.variance[name])
    for each in (statistics, restored):
        each.update({"arm/joints": values + 1, "sound": values[..., None]})
    np.testing.assert_array_equal(restored.mean["arm/joints"], statistics.mean["arm/joints"])


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = ChannelStatistics({"a": (2,)})
    statistics.save(tmp_path / "channels.npz")
    before = (tmp_path / "channels.npz").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space"):
        statistics.save(tmp_path / "channels.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["channels.npz"]
    assert (tmp_path / "channels.npz").read_bytes() == before


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no statistics of channels at .*nowhere"):
        ChannelStatistics.load(tmp_path / "nowhere.npz")
    path = tmp_path / "other.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"other\.npz holds no statistics of channels"):
        ChannelStatistics.load(path)
    arrays: dict[str, Any] = {"count/a": np.array([{}], dtype=object)}  # would need pickle
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="holds no statistics of channels"):
        ChannelStatistics.load(path)
    arrays = {"count/a": 3, "mean/a": np.zeros(2), "variance/a": -np.ones(2)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="damaged values of 'a'"):
        ChannelStatistics.load(path)
