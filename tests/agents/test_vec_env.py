from __future__ import annotations

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from mmrl_agents.vec_env import GymnasiumVecEnv, split_infos
from tests.agents.tiny import TwoSensors, vectorized

ACTIONS = np.array([[1.0], [0.5]], np.float32)


def test_refuses_environments_that_reset_at_another_time() -> None:
    with pytest.raises(ValueError, match=r"NEXT_STEP.*autoreset_mode=.*SAME_STEP"):
        GymnasiumVecEnv(vectorized(mode=AutoresetMode.NEXT_STEP))


def test_refuses_what_is_no_vector_environment() -> None:
    with pytest.raises(TypeError, match="VectorEnv"):
        GymnasiumVecEnv(TwoSensors())  # type: ignore[arg-type]


@pytest.mark.parametrize("terminates", [False, True])
def test_agrees_with_the_loop_of_stable_baselines3(terminates: bool) -> None:
    kind = partial(TwoSensors, length=3, terminates=terminates)
    ours, theirs = GymnasiumVecEnv(vectorized(kind)), DummyVecEnv([kind, kind])
    options = {"start": 0.25}
    for venv in (ours, theirs):
        venv.set_options(options)
    np.testing.assert_equal(ours.reset(), theirs.reset())
    np.testing.assert_equal(ours.reset_infos, theirs.reset_infos)
    for step in range(1, 3 + 1):
        ours_all, theirs_all = ours.step(ACTIONS), theirs.step(ACTIONS)
        np.testing.assert_allclose(ours_all[1], theirs_all[1])
        np.testing.assert_equal(ours_all[2], theirs_all[2])
        for our_info, their_info in zip(ours_all[3], theirs_all[3], strict=True):
            np.testing.assert_equal(our_info, their_info)
        if step < 3:
            np.testing.assert_equal(ours_all[0], theirs_all[0])
    final = ours_all[3][0]
    assert final["TimeLimit.truncated"] is not terminates
    assert final["terminal_observation"]["joints"][0] == 3
    assert final["steps"] == 3
    assert ours_all[0]["joints"][0, 0] == 0  # type: ignore[call-overload]
    first = ours_all[0]["joints"][0, 1]  # type: ignore[call-overload]
    assert ours.reset_infos[0]["start"] == pytest.approx(first)


def starts(seed: int | None) -> list[float]:
    venv = GymnasiumVecEnv(vectorized(num_envs=4))
    venv.seed(seed)
    venv.reset()
    return [info["start"] for info in venv.reset_infos]


def test_the_same_seed_gives_the_same_starts() -> None:
    assert starts(3) == starts(3)
    assert starts(None) != starts(None)


def test_neighbouring_seeds_share_no_stream() -> None:
    assert not set(starts(0)) & set(starts(1))


def test_a_seed_holds_for_one_reset() -> None:
    venv = GymnasiumVecEnv(vectorized())
    venv.seed(0)
    first = venv.reset()
    assert not np.array_equal(first["joints"], venv.reset()["joints"])  # type: ignore[call-overload]


def test_options_that_differ_are_refused() -> None:
    venv = GymnasiumVecEnv(vectorized())
    with pytest.raises(ValueError, match="one dict of reset options"):
        venv.set_options([{"start": 0.0}, {"start": 1.0}])


def test_renders_all_environments_as_tiles() -> None:
    venv = GymnasiumVecEnv(vectorized(partial(TwoSensors, render_mode="rgb_array")))
    venv.reset()
    image = venv.render()
    assert image is not None
    assert image.shape == (8, 6, 3)


def test_attributes_and_methods_of_separate_environments() -> None:
    envs = vectorized(partial(TwoSensors, length=7))
    venv = GymnasiumVecEnv(envs)
    assert venv.get_attr("length") == [7, 7]
    assert venv.get_attr("length", 1) == [7]
    assert venv.env_method("double", 4) == [8, 8]
    venv.set_attr("length", 9)
    assert venv.get_attr("length") == [9, 9]
    with pytest.raises(NotImplementedError, match=r"all 2 environments, got indices 0"):
        venv.env_method("double", 4, indices=0)
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit) == [False, False]
    venv.close()
    assert envs.closed
    venv.close()


def native() -> GymnasiumVecEnv:
    import mmrl_envs  # noqa: F401

    envs = gym.make_vec(
        "mmrl/MultimodalPendulum-v0",
        num_envs=3,
        autoreset_mode=AutoresetMode.SAME_STEP,
        episode_length=4,
    )
    return GymnasiumVecEnv(envs)


def test_a_native_vector_environment() -> None:
    venv = native()
    venv.seed(0)
    observations = venv.reset()
    assert isinstance(observations, dict)
    assert observations["image"].shape == (3, 2, 60, 60)
    for _ in range(4):
        observations, rewards, dones, infos = venv.step(np.zeros((3, 1), np.float32))
    assert dones.all()
    assert rewards.dtype == np.float32
    assert infos[2]["terminal_observation"]["sound"].shape == (2, 3, 2)
    assert infos[2]["TimeLimit.truncated"] is True
    assert infos[2]["state"].shape == (2,)
    assert not np.array_equal(infos[2]["state"], venv.reset_infos[2]["state"])


def test_a_native_vector_environment_has_no_separate_environments() -> None:
    venv = native()
    assert venv.get_attr("num_envs") == [3, 3, 3]
    venv.set_attr("remark", "hello")
    assert venv.get_attr("remark", [0]) == ["hello"]
    assert not venv.has_attr("absent")
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3
    with pytest.raises(NotImplementedError, match="steps all environments as one"):
        venv.env_method("double", 4)


def test_environments_in_processes() -> None:
    envs: AsyncVectorEnv[object, object] = AsyncVectorEnv(
        [TwoSensors, TwoSensors], autoreset_mode=AutoresetMode.SAME_STEP
    )
    venv = GymnasiumVecEnv(envs)
    venv.reset()
    assert venv.step(ACTIONS)[0]["joints"][:, 0].tolist() == [1, 1]  # type: ignore[call-overload]
    assert venv.get_attr("length") == [5, 5]
    venv.close()


def test_stable_baselines3_trains_in_it() -> None:
    model = PPO("MultiInputPolicy", GymnasiumVecEnv(vectorized()), n_steps=8, batch_size=8)
    model.learn(16)
    assert model.num_timesteps == 16


def test_splits_nested_infos() -> None:
    infos = {"outer": {"inner": np.array([1, 2])}, "_outer": np.array([False, True])}
    assert split_infos(infos, 2) == [{}, {"outer": {"inner": 2}}]
