"""Nested observations in one level."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.flatten import FlattenDict
from mmrl_envs.wrappers.split import SplitObservation


def box(size: int) -> spaces.Box:
    return spaces.Box(-1, 1, (size,), np.float32)


def values(size: int) -> Any:
    return np.full(size, 0.5, np.float32)


def test_names_are_joined_over_any_depth(replay: Any) -> None:
    space = spaces.Dict(
        {
            "arm": spaces.Dict({"left": spaces.Dict({"grip": box(1)}), "joints": box(2)}),
            "feet": spaces.Tuple([box(3), spaces.Discrete(4)]),
            "goal": box(5),
        }
    )
    observed = {
        "arm": {"left": {"grip": values(1)}, "joints": values(2)},
        "feet": (values(3), np.int64(2)),
        "goal": values(5),
    }
    env = FlattenDict(replay(space, [observed, observed]))
    names = ["arm_joints", "arm_left_grip", "feet_0", "feet_1", "goal"]
    flat: Any = env.observation_space
    assert list(flat) == names
    for observation in (env.reset()[0], env.step(0)[0]):
        assert list(observation) == names
        assert env.observation_space.contains(observation)
    assert observation["feet_1"] == 2
    slashes: Any = FlattenDict(replay(space, []), separator="/").observation_space
    assert "arm/left/grip" in list(slashes)


def test_a_flat_dict_stays_as_it_is(replay: Any) -> None:
    space = spaces.Dict({"achieved_goal": box(3), "desired_goal": box(3), "observation": box(9)})
    env = FlattenDict(replay(space, []))
    assert env.observation_space == space


def test_wrong_observations_are_refused(replay: Any) -> None:
    clash = spaces.Dict({"a": spaces.Dict({"b": box(1)}), "a_b": box(1)})
    with pytest.raises(ValueError, match=r"FlattenDict\(separator='_'\): a channel 'a_b' exists"):
        FlattenDict(replay(clash, []))
    FlattenDict(replay(clash, []), separator="/")
    with pytest.raises(ValueError, match=r"names cannot be joined by dots, got '\.'"):
        FlattenDict(replay(clash, []), separator=".")
    with pytest.raises(TypeError, match=r"entry 'a_text' has no fixed shape.*Text"):
        FlattenDict(replay(spaces.Dict({"a": spaces.Dict({"text": spaces.Text(5)})}), []))
    with pytest.raises(TypeError, match="FlattenDict needs a Dict or Tuple observation, got Box"):
        FlattenDict(replay(box(2), []))
    masked = spaces.Dict({"available": spaces.MultiBinary(1), "a": box(1)})
    with pytest.raises(ValueError, match="before its sensors fail"):
        FlattenDict(replay(masked, []))


def test_tuples_are_named_by_index(replay: Any) -> None:
    space = spaces.Tuple((box(2), spaces.Dict({"arm.left": box(1)})))
    env = FlattenDict(replay(space, [(np.ones(2, np.float32), {"arm.left": np.zeros(1)})]))
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    assert {name: values.tolist() for name, values in observation.items()} == {
        "0": [1, 1],
        "1_arm.left": [0],
    }


class TestRobots:
    """Gymnasium-Robotics, where it is installed."""

    @pytest.fixture(autouse=True)
    def robots(self) -> None:
        gymnasium_robotics = pytest.importorskip(
            "gymnasium_robotics", reason="needs mmrl[robotics]"
        )
        gymnasium.register_envs(gymnasium_robotics)

    def test_goals_and_rewards_of_fetch(self) -> None:
        flat = FlattenDict(gymnasium.make("FetchReach-v4"))
        env = SplitObservation(flat, {"gripper": [0, 3], "rest": [3, 10]}, source="observation")
        observation, _ = env.reset(seed=0)
        assert list(observation) == ["achieved_goal", "desired_goal", "gripper", "rest"]
        np.testing.assert_array_equal(observation["gripper"], observation["achieved_goal"])
        compute: Any = env.get_wrapper_attr("compute_reward")
        goal = observation["desired_goal"]
        assert compute(goal, goal, {}) == 0 > compute(goal + 1, goal, {})

    def test_a_kitchen_of_nested_goals(self) -> None:
        env = FlattenDict(gymnasium.make("FrankaKitchen-v1", tasks_to_complete=["kettle"]))
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        assert list(observation) == ["achieved_goal_kettle", "desired_goal_kettle", "observation"]

    def test_touch_of_the_shadow_hand(self) -> None:
        flat = FlattenDict(gymnasium.make("HandManipulateBlock_ContinuousTouchSensors-v1"))
        parts = {"body": [0, 54], "block": [54, 61], "touch": [61, 153]}
        env = SplitObservation(flat, parts, source="observation")
        observation, _ = env.reset(seed=0)
        for _ in range(10):
            observation, *_ = env.step(np.full(20, 0.9, np.float32))
        bare: Any = env.unwrapped
        names = [bare.model.sensor(index).name for index in range(bare.model.nsensor)]
        felt = [bare.data.sensor(name).data[0] for name in names if "TS_" in name]
        np.testing.assert_array_equal(observation["touch"], felt)
        assert max(felt) > 0
        np.testing.assert_array_equal(observation["block"], observation["achieved_goal"])
