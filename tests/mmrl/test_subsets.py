from __future__ import annotations

from typing import Any

import pytest

from mmrl.subsets import chosen_subsets, says_less, subsets

MANY = [f"s{i}" for i in range(18)]


def joined(names: list[str], choice: Any) -> list[str]:
    return ["+".join(subset) for subset in chosen_subsets(names, choice)]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (None, ["a+b+c", "a+b", "a+c", "b+c", "a", "b", "c"]),
        ("all", ["a+b+c", "a+b", "a+c", "b+c", "a", "b", "c"]),
        ("single", ["a+b+c", "a", "b", "c"]),
        ("leave_one_out", ["a+b+c", "a+b", "a+c", "b+c"]),
        (["c+a", ["b"], "a+b+c"], ["a+b+c", "a+c", "b"]),
    ],
)
def test_the_whole_comes_first(choice: Any, found: list[str]) -> None:
    assert joined(["a", "b", "c"], choice) == found


def test_one_alone_is_the_whole() -> None:
    for choice in (None, "all", "single", "leave_one_out"):
        assert joined(["a"], choice) == ["a"]


def test_many_are_bounded_unless_asked_for() -> None:
    assert len(chosen_subsets(MANY)) == 1 + 18 + 18
    assert len(chosen_subsets(MANY[:5])) == 31
    assert len(chosen_subsets(MANY[:6], "all")) == 63
    assert len(set(subsets(MANY[:8]))) == 255
    assert "262,143 subsets are possible" in str(says_less(MANY, None))
    assert says_less(MANY[:5], None) is None
    assert says_less(MANY, "single") is None


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("most", r"subsets must be null, all, single, leave_one_out, or a list .* got 'most'"),
        ([], r"got \[\]"),
        ([3], r"got \[3\]"),
        ([[]], r"got \[\[\]\]"),
        (["a+d"], r"subsets name \['d'\]; there are \['a', 'b', 'c'\]"),
    ],
)
def test_what_is_no_choice_is_refused(choice: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen_subsets(["a", "b", "c"], choice)
