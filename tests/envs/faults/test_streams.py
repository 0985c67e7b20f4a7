"""Random streams of faults and the choice of what is spared."""

import numpy as np
import pytest

from mmrl_envs.faults.streams import TIMES, VALUES, Sparing, Stream


def test_every_episode_has_its_place_in_a_stream() -> None:
    stream = Stream(3, 0, TIMES)
    stream.seek(1)
    second = stream.generator.random(5)
    stream.seek(0)
    first = stream.generator.random(1000)
    stream.seek(1)
    np.testing.assert_array_equal(stream.generator.random(5), second)
    assert not np.isin(second, first).any()


def test_streams_differ_by_seed_fault_and_kind_and_from_the_environments_own() -> None:
    streams = [Stream(3, 0, TIMES), Stream(4, 0, TIMES), Stream(3, 1, TIMES), Stream(3, 0, VALUES)]
    numbers = [stream.generator.random() for stream in streams] + [
        np.random.default_rng(3).random(),
        np.random.default_rng(np.random.SeedSequence(3).spawn(1)[0]).random(),
        Stream(3).generator.random(),
    ]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_no_more_is_spared_than_necessary(keep: int) -> None:
    rng = np.random.default_rng(0)
    wanted = rng.random((200, 3, 5)) < 0.7
    missing = wanted.copy()
    Sparing(3, 5, keep).spare(missing, rng.random(missing.shape), slice(None))
    assert not (missing & ~wanted).any()
    np.testing.assert_array_equal(missing.sum(axis=1), np.minimum(wanted.sum(axis=1), 3 - keep))


def test_the_choice_stays_while_it_is_necessary_and_is_then_drawn_again() -> None:
    rng = np.random.default_rng(0)
    both = np.array([True, True, True, False] * 200)  # both channels fail for three steps in four
    missing = np.repeat(both[:, None, None], 2, axis=1)
    Sparing(2, 1, 1).spare(missing, rng.random(missing.shape), slice(None))
    stretches = missing[:, 0, 0].reshape(200, 4)[:, :3]
    assert np.all(stretches == stretches[:, :1])
    assert 70 < stretches[:, 0].sum() < 130


def test_calls_join_seamlessly() -> None:
    rng = np.random.default_rng(0)
    wanted, priority = rng.random((90, 3, 4)) < 0.8, rng.random((90, 3, 4))
    whole, pieces = wanted.copy(), wanted.copy()
    Sparing(3, 4, 1).spare(whole, priority, slice(None))
    sparing = Sparing(3, 4, 1)
    for steps in np.array_split(np.arange(90), 17):
        piece = pieces[steps]
        sparing.spare(piece, priority[steps], slice(None))
        pieces[steps] = piece
    np.testing.assert_array_equal(whole, pieces)


def test_after_an_episode_the_choice_is_drawn_again() -> None:
    sparing, rng = Sparing(2, 1, 1), np.random.default_rng(0)
    chosen = []
    for _ in range(60):
        sparing.end(slice(None))
        missing = np.ones((2, 2, 1), np.bool_)
        sparing.spare(missing, rng.random(missing.shape), slice(None))
        chosen.append(bool(missing[0, 0, 0]))
    assert 15 < sum(chosen) < 45
