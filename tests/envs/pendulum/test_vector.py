"""The native vector version of the multimodal pendulum."""

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from mmrl_envs.pendulum import MultimodalPendulumEnv, MultimodalPendulumVectorEnv
from mmrl_envs.seeding import sub_seeds

ID = "mmrl/MultimodalPendulum-v0"
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def actions(steps: int, count: int) -> Any:
    return np.random.default_rng(0).uniform(-3, 3, (steps, count, 1)).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dynamics", ["paper", "gymnasium"])
def test_equals_synchronous_single_environments(mode: AutoresetMode, dynamics: str) -> None:
    """Bit for bit: observations, rewards, ends, and infos with the final ones."""
    arguments: dict[str, Any] = {"episode_length": 5, "dynamics": dynamics, "stack": 3}
    native = MultimodalPendulumVectorEnv(7, autoreset_mode=mode, **arguments)
    single = SyncVectorEnv(
        [lambda: MultimodalPendulumEnv(**arguments) for _ in range(7)], autoreset_mode=mode
    )
    assert native.observation_space == single.observation_space
    assert native.action_space == single.action_space
    seeds = sub_seeds(3, 7)
    np.testing.assert_equal(native.reset(seed=3), single.reset(seed=seeds))
    for action in actions(18, 7):
        assert data_equivalence(native.step(action), single.step(action), exact=True)


@pytest.mark.parametrize("mode", MODES)
def test_sub_environments_may_end_at_different_times(mode: AutoresetMode) -> None:
    arguments: dict[str, Any] = {"episode_length": 4}
    native = MultimodalPendulumVectorEnv(3, autoreset_mode=mode, **arguments)
    single = SyncVectorEnv(
        [lambda: MultimodalPendulumEnv(**arguments) for _ in range(3)], autoreset_mode=mode
    )
    for envs in (native, single):
        envs.reset(seed=[1, 2, 3])
        envs.step(np.zeros((3, 1), np.float32))
        envs.reset(options={"reset_mask": np.array([False, True, False])})
    for action in actions(12, 3):
        assert data_equivalence(native.step(action), single.step(action), exact=True)


def test_disabled_autoreset_asks_for_a_reset_of_those_that_ended() -> None:
    envs = MultimodalPendulumVectorEnv(2, autoreset_mode="Disabled", episode_length=2)
    envs.reset(seed=0)
    still = np.zeros((2, 1), np.float32)
    envs.step(still)
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert envs.step(still)[3].tolist() == [False, True]
    with pytest.raises(ResetNeeded, match=r"\[1\] have ended"):
        envs.step(still)
    envs.reset(options={"reset_mask": np.array([False, True])})
    assert envs.step(still)[3].tolist() == [True, False]


def test_exact_starts_and_masks() -> None:
    envs = MultimodalPendulumVectorEnv(3)
    states = np.array([[0.0, 0.0], [1.0, -1.0], [9.0, 8.0]])
    _, infos = envs.reset(options={"state": states})
    np.testing.assert_array_equal(infos["state"], states)
    mask = np.array([True, False, True])
    observations, infos = envs.reset(options={"state": states + 0.0, "reset_mask": mask})
    np.testing.assert_array_equal(infos["_state"], mask)
    np.testing.assert_array_equal(infos["state"], states * mask[:, None])
    single, _ = MultimodalPendulumEnv().reset(options={"state": states[2]})
    np.testing.assert_array_equal(observations["image"][2], single["image"])
    np.testing.assert_array_equal(observations["sound"][2], single["sound"])


def test_made_by_make_vec_with_arguments_and_rebuilt_from_the_spec() -> None:
    envs = gymnasium.make_vec(ID, num_envs=4, autoreset_mode="SameStep", image_size=32)
    assert isinstance(envs.unwrapped, MultimodalPendulumVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.spec is not None
    copy = gymnasium.make_vec(envs.spec)
    assert copy.num_envs == 4
    np.testing.assert_equal(envs.reset(seed=1), copy.reset(seed=1))


def test_instances_do_not_share_metadata() -> None:
    MultimodalPendulumVectorEnv(1, autoreset_mode="SameStep")
    assert MultimodalPendulumVectorEnv(1).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize("mode", MODES)
def test_returned_arrays_belong_to_the_caller(mode: AutoresetMode) -> None:
    spoiled, clean = (
        MultimodalPendulumVectorEnv(2, autoreset_mode=mode, episode_length=2) for _ in range(2)
    )
    spoiled.reset(seed=0)
    clean.reset(seed=0)
    for action in actions(7, 2):
        observations, rewards, terminated, truncated, infos = spoiled.step(action)
        result = observations, rewards, terminated, truncated, infos
        assert data_equivalence(result, clean.step(action), exact=True)
        for array in (*observations.values(), rewards, infos["state"]):
            array[:] = 77
        terminated[:] = truncated[:] = True


def test_survives_pickling() -> None:
    envs = MultimodalPendulumVectorEnv(2)
    envs.reset(seed=0)
    copy = pickle.loads(pickle.dumps(envs))  # noqa: S301
    np.testing.assert_equal(
        envs.step(np.ones((2, 1), np.float32)), copy.step(np.ones((2, 1), np.float32))
    )


def test_renders_one_frame_per_sub_environment() -> None:
    envs = MultimodalPendulumVectorEnv(2, render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match="reset"):
        envs.render()
    envs.reset(options={"state": np.array([[0.0, 0.0], [2.0, 1.0]])})
    frames = envs.render()
    assert frames is not None
    single = MultimodalPendulumEnv(render_mode="rgb_array")
    single.reset(options={"state": (2.0, 1.0)})
    np.testing.assert_array_equal(frames[1], single.render())
    assert len(frames) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": np.zeros(2)}, r"shape \(2, 2\)"),
        ({"reset_mask": np.array([True])}, "2 booleans"),
        ({"reset_mask": np.array([0, 1])}, "2 booleans"),
        ({"reset_mask": np.zeros(2, np.bool_)}, "at least one True"),
        ({"mask": np.ones(2, np.bool_)}, r"unknown reset options \['mask'\]"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    envs = MultimodalPendulumVectorEnv(2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.reset(options=options)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        MultimodalPendulumVectorEnv(0)
    with pytest.raises(ValueError, match="Sometimes"):
        MultimodalPendulumVectorEnv(1, autoreset_mode="Sometimes")
    envs = MultimodalPendulumVectorEnv(2)
    with pytest.raises(ResetNeeded, match="reset"):
        envs.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ResetNeeded, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"shape \(2, 1\), got \(2,\)"):
        envs.step(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="finite"):
        envs.step(np.array([[0.0], [np.nan]], np.float32))
