"""The parts of a flat observation as channels, and back."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.wrappers.split import SplitObservation, preset_slices

VALUES = np.arange(6, dtype=np.float32)
BOX = spaces.Box(VALUES - 1, VALUES + 1, dtype=np.float32)


@pytest.fixture
def flat(replay: Any) -> Any:
    """Observes 0, 1, ... 5."""
    return replay(BOX, [VALUES])


@pytest.fixture
def nested(replay: Any) -> Any:
    """Observes them as an entry of a Dict."""
    other = spaces.Box(0, 1, (2,), np.float32)
    space = spaces.Dict({"state": BOX, "other": other})
    return replay(space, [{"state": VALUES, "other": np.full(2, 0.5, np.float32)}])


def test_each_channel_has_its_entries_and_their_bounds(flat: Any) -> None:
    env = SplitObservation(flat, {"legs": [[4, 6], [0, 1]], "arm": [1, 4]})
    observation, _ = env.reset()
    assert {name: values.tolist() for name, values in observation.items()} == {
        "arm": [1, 2, 3],
        "legs": [4, 5, 0],
    }
    space: Any = env.observation_space
    assert space["legs"].low.tolist() == [3, 4, -1]
    assert space["legs"].high.tolist() == [5, 6, 1]
    assert space["legs"].dtype == np.float32


def test_merge_is_the_inverse_for_one_and_for_batches(flat: Any) -> None:
    env = SplitObservation(flat, {"legs": [[4, 6], [0, 1]], "arm": [1, 4]})
    observation, _ = env.reset()
    np.testing.assert_array_equal(env.merge(observation), np.arange(6))
    batch = {name: np.stack([values, values + 10]) for name, values in observation.items()}
    np.testing.assert_array_equal(env.merge(batch), np.stack([np.arange(6), np.arange(6) + 10]))


def test_merge_names_a_missing_channel(flat: Any) -> None:
    env = SplitObservation(flat, {"a": [0, 3], "b": [3, 6]})
    with pytest.raises(ValueError, match=r"no channels \['b'\].*has \['a'\]"):
        env.merge({"a": np.zeros(3)})


def test_channels_are_copies(flat: Any) -> None:
    env = SplitObservation(flat, {"all": [0, 6]})
    observation, _ = env.reset()
    observation["all"][:] = -1
    np.testing.assert_array_equal(VALUES, np.arange(6))


def test_one_entry_of_a_dict_is_split_and_the_others_stay(nested: Any) -> None:
    env = SplitObservation(nested, {"z": [0, 2], "a": [2, 6]}, source="state")
    observation, _ = env.reset()
    space: Any = env.observation_space
    assert list(observation) == list(space) == ["a", "other", "z"]
    assert env.observation_space.contains(observation)
    np.testing.assert_array_equal(observation["other"], [0.5, 0.5])
    np.testing.assert_array_equal(env.merge(observation), np.arange(6))


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ({"a": [0, 4], "b": [3, 6]}, r"slices 'a' and 'b' overlap in entry 3"),
        ({"a": [[0, 4], [2, 6]]}, r"slices 'a' and 'a' overlap in entry 2"),
        ({"a": [0, 4]}, r"cover 4 of 6 entries; in no channel: \[4, 5\]"),
        ({"a": [0, 7]}, r"stop of slice 'a' must be from 1 to 6, got 7"),
        ({"a": [-1, 6]}, r"start of slice 'a' must be from 0 to 5, got -1"),
        ({"a": [3, 3], "b": [0, 6]}, r"stop of slice 'a' must be from 4 to 6, got 3"),
        ({"a": [0, 3, 6]}, r"slice 'a' must be \[start, stop\] or a list of such, got"),
        ({"a": "06"}, r"slice 'a' must be \[start, stop\]"),
        ({}, r"no slices: name at least one channel of the 6 entries"),
        ({"available": [0, 6]}, r"'available' cannot name a channel"),
        ({"a.b": [0, 6]}, r"'a\.b' cannot name a channel"),
    ],
)
def test_wrong_slices_are_refused_at_construction(
    slices: dict[str, Any], message: str, flat: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        SplitObservation(flat, slices)


def test_indices_must_be_integers(flat: Any) -> None:
    with pytest.raises(TypeError, match="stop of slice 'a'"):
        SplitObservation(flat, {"a": [0, 6.0]})


def test_wrong_observations_are_refused_at_construction(nested: Any) -> None:
    with pytest.raises(TypeError, match=r"name the entry to split.*\['other', 'state'\]"):
        SplitObservation(nested, {"a": [0, 6]})
    with pytest.raises(ValueError, match=r"no channels \['joints'\].*\['other', 'state'\]"):
        SplitObservation(nested, {"a": [0, 6]}, source="joints")
    with pytest.raises(ValueError, match=r"a channel 'other' exists already"):
        SplitObservation(nested, {"other": [0, 6]}, source="state")
    with pytest.raises(TypeError, match=r"splits a Box of one axis, got Discrete"):
        SplitObservation(gymnasium.make("FrozenLake-v1"), {"a": [0, 1]})
    with pytest.raises(ValueError, match=r"no preset for CartPoleEnv.*name the slices"):
        SplitObservation(gymnasium.make("CartPole-v1"))


class TestPresets:
    """Read back from the simulation, not from the table that the presets were made with."""

    @pytest.fixture(autouse=True)
    def mujoco(self) -> None:
        pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")

    @pytest.mark.parametrize(
        ("robot", "options", "skipped"),
        [
            ("Ant", {}, 2),
            ("Ant", {"include_cfrc_ext_in_observation": False}, 2),
            ("Ant", {"exclude_current_positions_from_observation": False}, 0),
            ("HalfCheetah", {}, 1),
            ("Hopper", {}, 1),
            ("Humanoid", {}, 2),
            ("Humanoid", {"include_cinert_in_observation": False}, 2),
            ("HumanoidStandup", {}, 2),
            ("InvertedPendulum", {}, 0),
            ("Swimmer", {}, 2),
            ("Walker2d", {}, 1),
        ],
    )
    def test_positions_and_velocities_are_the_joints(
        self, robot: str, options: dict[str, bool], skipped: int
    ) -> None:
        env = SplitObservation(gymnasium.make(f"{robot}-v5", **options))
        env.reset(seed=0)
        observation, *_ = env.step(np.full(env.action_space.shape or (), 0.3, np.float32))
        bare: Any = env.unwrapped
        data = bare.data
        np.testing.assert_array_equal(observation["position"], data.qpos[skipped:])
        velocity = np.clip(data.qvel, -10, 10) if robot in ("Hopper", "Walker2d") else data.qvel
        np.testing.assert_array_equal(observation["velocity"], velocity)
        forces = {
            "Humanoid": {"actuator_force", "body_velocity", "contact_force", "inertia"},
            "Ant": {"contact_force"},
        }.get(robot.removesuffix("Standup"), set())
        if any(name.startswith("include") for name in options):
            forces = forces - {"inertia"} if robot == "Humanoid" else set()
        assert set(observation) == {"position", "velocity"} | forces
        if "actuator_force" in observation:
            np.testing.assert_array_equal(observation["actuator_force"], data.qfrc_actuator[6:])
        if "contact_force" in observation:
            assert observation["contact_force"].shape == (6 * (bare.model.nbody - 1),)

    def test_arms_and_the_double_pendulum(self) -> None:
        pusher, reacher, double = (
            SplitObservation(gymnasium.make(f"{robot}-v5"))
            for robot in ("Pusher", "Reacher", "InvertedDoublePendulum")
        )
        (pushing, _), (reaching, _), (balancing, _) = (
            env.reset(seed=0) for env in (pusher, reacher, double)
        )
        bare: Any = pusher.unwrapped
        data = bare.data
        np.testing.assert_array_equal(pushing["position"], data.qpos[:7])
        np.testing.assert_array_equal(pushing["velocity"], data.qvel[:7])
        for name, body in (("arm_tip", "tips_arm"), ("object", "object"), ("goal", "goal")):
            np.testing.assert_array_equal(pushing[name], data.body(body).xpos)
        bare = reacher.unwrapped
        data = bare.data
        np.testing.assert_array_equal(reaching["target"], data.qpos[2:])
        np.testing.assert_array_equal(reaching["velocity"], data.qvel[:2])
        np.testing.assert_allclose(reaching["position"][:2], np.cos(data.qpos[:2]))
        offset = data.body("fingertip").xpos - data.body("target").xpos
        np.testing.assert_array_equal(reaching["target_offset"], offset[:2])
        bare = double.unwrapped
        data = bare.data
        np.testing.assert_array_equal(balancing["velocity"], np.clip(data.qvel, -10, 10))
        assert balancing["constraint_force"].shape == (1,)

    def test_an_older_layout_has_no_preset(self) -> None:
        env = gymnasium.make("Reacher-v5")
        env.unwrapped.observation_space = spaces.Box(-np.inf, np.inf, (11,), np.float64)
        with pytest.raises(ValueError, match="no preset for ReacherEnv"):
            preset_slices(env)
