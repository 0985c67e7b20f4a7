"""Checks of arguments."""

import math

import numpy as np
import pytest

from mmrl_envs.validation import check_integer, check_number, is_list


@pytest.mark.parametrize("value", [0.5, 3, np.float32(1.0)])
def test_good_numbers_pass(value: float) -> None:
    check_number("rate", value, above=0.0)


@pytest.mark.parametrize("value", ["fast", None, True, [1.0]])
def test_what_is_no_number_is_named(value: object) -> None:
    with pytest.raises(TypeError, match="rate must be a number, got"):
        check_number("rate", value, above=0.0)


@pytest.mark.parametrize("value", [0.0, -1, math.inf, math.nan])
def test_numbers_out_of_range_are_named(value: float) -> None:
    with pytest.raises(ValueError, match="rate must be finite and greater than 0, got"):
        check_number("rate", value, above=0.0)


def test_integers() -> None:
    check_integer("stack", 1, 1)
    check_integer("stack", np.int64(4), 1, 4)
    with pytest.raises(TypeError, match=r"stack must be an integer, got 2\.0"):
        check_integer("stack", 2.0, 1)
    with pytest.raises(TypeError, match="stack must be an integer, got True"):
        check_integer("stack", True, 1)
    with pytest.raises(ValueError, match="stack must be at least 1, got 0"):
        check_integer("stack", 0, 1)
    with pytest.raises(ValueError, match="stack must be from 1 to 4, got 5"):
        check_integer("stack", 5, 1, 4)


def test_lists() -> None:
    assert is_list([1])
    assert is_list(())
    assert not any(map(is_list, ["ab", 3, None, {"a": 1}, iter([])]))
