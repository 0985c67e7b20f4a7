from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.select import DropChannels, SelectChannels

BOX = spaces.Box(0, 9, (1,), np.float32)
SPACE = spaces.Dict({"arm_left": BOX, "arm_right": BOX, "log": spaces.Text(5)})
SEEN = {"arm_left": np.ones(1), "arm_right": np.zeros(1), "log": "abc"}


@pytest.mark.parametrize(
    ("wrapper", "channels", "left"),
    [
        (SelectChannels, ["arm_*"], ["arm_left", "arm_right"]),
        (SelectChannels, "arm_left", ["arm_left"]),
        (DropChannels, ["log", "*left"], ["arm_right"]),
    ],
)
def test_some_are_left(wrapper: Any, channels: Any, left: list[str], replay: Any) -> None:
    env = wrapper(replay(SPACE, [SEEN]), channels)
    assert list(env.observation_space) == left
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("wrapper", "channels", "message"),
    [
        (
            SelectChannels,
            ["leg"],
            r"SelectChannels: no channel 'leg', the observation has \['arm_l",
        ),
        (DropChannels, ["leg*"], r"DropChannels: no channel 'leg\*'"),
        (DropChannels, ["*"], "DropChannels leaves nothing of"),
    ],
)
def test_what_does_not_exist_is_refused(
    wrapper: Any, channels: Any, message: str, replay: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        wrapper(replay(SPACE, [SEEN]), channels)
