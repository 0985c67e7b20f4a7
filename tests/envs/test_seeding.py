"""Seeds of sub-environments."""

import pytest

from mmrl_envs.seeding import sub_seeds


def test_neighbouring_seeds_share_no_stream() -> None:
    seeds = [value for seed in range(50) for value in sub_seeds(seed, 40)]
    assert len(set(seeds)) == 2000


def test_first_seeds_do_not_depend_on_the_count() -> None:
    assert sub_seeds(7, 3) == sub_seeds(7, 100)[:3]


def test_lists_and_none_pass() -> None:
    assert sub_seeds(None, 2) == [None, None]
    assert sub_seeds([4, None], 2) == [4, None]


def test_bad_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="non-negative integer, got -1"):
        sub_seeds(-1, 2)
    with pytest.raises(ValueError, match=r"one per sub-environment \(2\), got \[1, 2, 3\]"):
        sub_seeds([1, 2, 3], 2)
