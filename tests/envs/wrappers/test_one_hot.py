from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.one_hot import OneHotChannels

SPACE = spaces.Dict(
    {
        "room": spaces.Discrete(3, start=1),
        "grid": spaces.MultiDiscrete([2, 3]),
        "enc": spaces.Box(0, 1, (2,), np.float32),
    }
)


def seen(**values: Any) -> dict[str, Any]:
    return {"room": 3, "grid": [1, 2], "enc": np.zeros(2, np.float32)} | values


def test_numbers_become_places(replay: Any) -> None:
    env = OneHotChannels(replay(SPACE, [seen()]))
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    assert observation["room"].tolist() == [0, 0, 1]
    assert observation["grid"].tolist() == [0, 1, 0, 0, 1]


def test_only_those_that_are_named(replay: Any) -> None:
    env = OneHotChannels(replay(SPACE, [seen()]), ["gr*"])
    observation, _ = env.reset()
    assert observation["room"] == 3
    assert observation["grid"].shape == (5,)


@pytest.mark.parametrize("gap", [seen(room=None), {"grid": [0, 0]}])
def test_nothing_is_missing(gap: dict[str, Any], replay: Any) -> None:
    observation, _ = OneHotChannels(replay(SPACE, [gap])).reset()
    assert np.isnan(observation["room"]).all()


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (["enc"], r"takes Discrete and MultiDiscrete channels, got \['enc'\]; such are \['grid', "),
        (["hall"], "no channel 'hall'"),
    ],
)
def test_what_is_no_choice_is_refused(channels: list[str], message: str, replay: Any) -> None:
    with pytest.raises(ValueError, match=message):
        OneHotChannels(replay(SPACE, [seen()]), channels)
    none = spaces.Dict({"enc": SPACE["enc"]})
    with pytest.raises(ValueError, match=r"got \['enc'\]; such are none of \['enc'\]"):
        OneHotChannels(replay(none, []))


def test_a_place_that_does_not_exist_is_said(replay: Any) -> None:
    with pytest.raises(ValueError, match=r"sensor 'room' delivered 0, it has \[3\] values from"):
        OneHotChannels(replay(SPACE, [seen(room=0)])).reset()
