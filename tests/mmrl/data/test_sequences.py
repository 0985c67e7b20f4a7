import numpy as np
import pytest

from mmrl.data import ArrayData, Sequences
from mmrl.modality import Modality

LENGTHS = (3, 0, 5, 1)


def make(steps: int | None = None) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    values = np.arange(sum(LENGTHS) * 2, dtype=np.float32).reshape(-1, 2) + 1
    return Sequences(values, offsets, steps)


def naive(sequences: Sequences, row: int) -> np.ndarray:
    out = np.zeros(sequences.shape[1:], sequences.dtype)
    own = sequences.values[sequences.offsets[row] : sequences.offsets[row + 1]][: sequences.steps]
    out[: len(own)] = own
    return out


@pytest.mark.parametrize("steps", [None, 2, 7])
def test_rows_are_padded_with_zeros_or_cut(steps: int | None) -> None:
    sequences = make(steps)
    assert sequences.shape == (4, steps or 5, 2)
    rows = np.array([2, 1, 3, 0, 2])
    expected = np.stack([naive(sequences, row) for row in rows])
    np.testing.assert_array_equal(sequences[rows], expected)


def test_taking_keeps_lengths_and_reading_length() -> None:
    taken = make(4).take(np.array([2, 0]))
    assert taken.lengths.tolist() == [5, 3]
    np.testing.assert_array_equal(taken[:], make(4)[np.array([2, 0])])
    np.testing.assert_array_equal(
        make().take(np.array([False, False, True, True]))[:], make()[np.array([2, 3])]
    )


def test_concatenating_is_the_identity_on_rows() -> None:
    both = Sequences.concatenate([make(2), make(4)])
    np.testing.assert_array_equal(both[np.array([6])], make(4)[np.array([2])])
    assert both.shape == (8, 4, 2)


def test_what_is_cut_off_marks_no_sample() -> None:
    sequences = make()
    marked = np.zeros(len(sequences.values), np.bool_)
    marked[-2] = True  # the last step of the third
    assert sequences.samples_with(marked).tolist() == [False, False, True, False]
    assert not sequences.with_steps(4).samples_with(marked).any()
    assert sequences.samples_with(~marked).tolist() == [True, False, True, True]


def test_resampling_keeps_ends_and_straight_lines() -> None:
    lines = Sequences(np.array([0.0, 1.0, 2.0, 7.0])[:, None], np.array([0, 3, 3, 4]))
    out = lines.resampled(5)[..., 0]
    np.testing.assert_allclose(out[0], [0, 0.5, 1, 1.5, 2])
    assert np.isnan(out[1]).all()
    np.testing.assert_allclose(out[2], 7)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 2], "from 0 to 2"),
        ([1, 3], "from 1 to 3"),
        ([0, 3, 2, 3], "fall in between"),
        ([[0, 3]], r"of shape \(1, 2\)"),
        ([0.0, 3.0], "whole numbers"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(offsets: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sequences(np.zeros((3, 1)), np.array(offsets))


def test_a_data_set_of_sequences_survives_saving(tmp_path) -> None:  # type: ignore[no-untyped-def]
    modality = Modality("gait", (4, 2), "sequence")
    data = ArrayData({"gait": make(4)}, (modality,), target=np.arange(4, dtype=np.uint8))
    assert data.available[:, 0].tolist() == [True, False, True, True]
    data.save(tmp_path / "data.npz")
    loaded = ArrayData.load(tmp_path / "data.npz")
    rows = np.array([3, 2, 0])
    for other in (loaded, ArrayData.concatenate([data, data]), data.subset(np.arange(4))):
        batch, expected = other.batch(rows), data.batch(rows)
        np.testing.assert_array_equal(batch.values["gait"], expected.values["gait"])
        np.testing.assert_array_equal(batch.available, expected.available)
