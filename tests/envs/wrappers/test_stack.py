"""Stacks of the last values, per channel."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.stack import StackFrames

SPACE = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (3, 4, 5), np.uint8),
        "mode": spaces.Discrete(3),
        "gray": spaces.Box(0, 255, (4, 5), np.uint8),
        "joints": spaces.Box(np.array([-1, -2.0]), np.array([1, 2.0]), dtype=np.float64),
    }
)


def frame(value: int) -> dict[str, Any]:
    return {
        "image": np.full((3, 4, 5), value, np.uint8),
        "mode": value % 3,
        "gray": np.full((4, 5), value, np.uint8),
        "joints": np.array([value / 10, -value / 10]),
    }


@pytest.fixture
def counter(replay: Any) -> Any:
    """Observes 1, 2, 3, ... in every channel."""
    return replay(SPACE, [frame(value) for value in range(1, 9)])


def test_the_oldest_comes_first_and_a_reset_repeats(counter: Any) -> None:
    env = StackFrames(counter, {"joints": 3})
    for _ in range(2):
        observation, _ = env.reset()
        assert observation["joints"][:, 0].tolist() == [0.1, 0.1, 0.1]
        seen = [env.step(0)[0]["joints"][:, 0].tolist() for _ in range(4)]
        assert seen == [[0.1, 0.1, 0.2], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.3, 0.4, 0.5]]


def test_planes_are_joined_and_others_get_an_axis(counter: Any) -> None:
    env = StackFrames(counter, {"image": 2, "gray": 2, "joints": 2})
    env.reset()
    observation, *_ = env.step(0)
    assert env.observation_space.contains(observation)
    shapes = {name: np.shape(values) for name, values in observation.items()}
    assert shapes == {"gray": (2, 4, 5), "image": (6, 4, 5), "joints": (2, 2), "mode": ()}
    assert observation["image"][:, 0, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert observation["gray"][:, 0, 0].tolist() == [1, 2]
    space: Any = env.observation_space
    assert space["joints"].low.tolist() == [[-1, -2], [-1, -2]]
    assert space["joints"].high.tolist() == [[1, 2], [1, 2]]
    assert (space["image"].dtype, space["joints"].dtype) == (np.uint8, np.float64)


def test_one_frame_changes_nothing(counter: Any) -> None:
    env = StackFrames(counter, {"image": 1, "joints": 1})
    assert env.observation_space == counter.observation_space
    observation, _ = env.reset()
    np.testing.assert_array_equal(observation["joints"], frame(1)["joints"])


def test_a_sensor_that_reuses_its_buffer_is_copied(replay: Any) -> None:
    space = spaces.Dict({"a": spaces.Box(0, 9, (1,), np.float32)})
    buffer = {"a": np.zeros(1, np.float32)}
    env = StackFrames(replay(space, [buffer] * 4), 2)
    env.reset()
    buffer["a"][:] = 5
    observation, *_ = env.step(0)
    assert observation["a"].ravel().tolist() == [0, 5]


def test_a_frame_that_never_arrived_is_replaced_later(replay: Any) -> None:
    space = spaces.Dict({"a": spaces.Box(-9, 9, (1,), np.float32)})
    values = [{"a": np.array([v], np.float32)} for v in (1.0, np.nan, 3.0, 4.0)]
    env = StackFrames(replay(space, values), 3)
    env.reset()
    seen = [env.step(0)[0]["a"].ravel().tolist() for _ in range(3)]
    assert np.isnan(seen[0]).all()
    assert seen[1:] == [[1, 1, 3], [3, 3, 4]]
    nothing = replay(space, [{"a": None}, *values[2:]])
    env = StackFrames(nothing, 2)
    assert np.isnan(env.reset()[0]["a"]).all()
    assert env.step(0)[0]["a"].ravel().tolist() == [3, 3]


def test_a_partial_frame_is_told_as_it_is(replay: Any) -> None:
    space = spaces.Dict({"a": spaces.Box(-9, 9, (2,), np.float32)})
    values = [{"a": np.array(v, np.float32)} for v in ([1, 2], [np.nan, 5], [3, 4])]
    env = StackFrames(replay(space, values), 2)
    env.reset()
    np.testing.assert_array_equal(env.step(0)[0]["a"], [[1, 2], [np.nan, 5]])
    np.testing.assert_array_equal(env.step(0)[0]["a"], [[3, 4], [3, 4]])


def test_images_with_their_channels_last_are_joined_along_them(replay: Any) -> None:
    space = spaces.Dict({"cam": spaces.Box(0, 255, (8, 9, 3), np.uint8)})
    images = [{"cam": np.full((8, 9, 3), value, np.uint8)} for value in (1, 2)]
    env = StackFrames(replay(space, images), 2)
    env.reset()
    stacked = env.step(0)[0]["cam"]
    assert env.observation_space.contains({"cam": stacked})
    assert stacked.shape == (8, 9, 6)
    assert stacked[0, 0].tolist() == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (2, TypeError, r"stacks Box channels, got 'mode': Discrete\(3\); say frames by channel"),
        ({"sound": 2}, ValueError, r"no channels \['sound'\].*\['gray', 'image', 'joints'"),
        ({"gray": 0}, ValueError, "frames of 'gray' must be at least 1, got 0"),
    ],
)
def test_wrong_frames_are_refused(
    counter: Any, frames: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        StackFrames(counter, frames)


def test_it_must_come_before_sensors_fail(replay: Any) -> None:
    space = spaces.Dict({"available": spaces.MultiBinary(1), "a": spaces.Box(0, 1, (1,))})
    with pytest.raises(ValueError, match=r"StackFrames must wrap .* before its sensors fail.*'a'"):
        StackFrames(replay(space, []), 2)
    with pytest.raises(TypeError, match=r"StackFrames needs a Dict observation.*got Box"):
        StackFrames(replay(spaces.Box(0, 1, (1,)), []), 2)
    with pytest.raises(ValueError, match="kept_by must be 'agent' or 'sensor', got 'me'"):
        StackFrames(replay(space, []), 2, kept_by="me")
