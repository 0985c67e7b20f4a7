from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.rename import RenameChannels

BOX = spaces.Box(0, 9, (1,), np.float32)
LEROBOT = ["observation.images.top", "observation.state", "/joint_states", "arm"]
SPACE = spaces.Dict(dict.fromkeys(LEROBOT, BOX))
SEEN = {name: np.array([number], np.float32) for number, name in enumerate(LEROBOT)}


def test_names_of_lerobot_and_ros_become_plain(replay: Any) -> None:
    env = RenameChannels(replay(SPACE, [SEEN]))
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    assert {name: int(values[0]) for name, values in observation.items()} == {
        "arm": 3,
        "joint_states": 2,
        "observation_images_top": 0,
        "observation_state": 1,
    }


def test_some_get_names_and_may_change_places(replay: Any) -> None:
    env = RenameChannels(replay(SPACE, [SEEN]), {"observation.state": "arm", "arm": "hand"})
    observation, _ = env.reset()
    assert observation["arm"] == 1
    assert observation["hand"] == 3
    assert "/joint_states" in observation


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"leg": "a"}, r"RenameChannels: no channels \['leg'\]"),
        ({"arm": "a.b"}, r"'a\.b' cannot name a channel"),
        ({"arm": "available"}, r"'available' cannot name a channel"),
        ({"arm": "a", "observation.state": "a"}, r"a channel 'a' exists already"),
    ],
)
def test_what_cannot_be_a_name_is_refused(names: dict[str, str], message: str, replay: Any) -> None:
    with pytest.raises(ValueError, match=message):
        RenameChannels(replay(SPACE, [SEEN]), names)
