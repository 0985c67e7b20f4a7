"""HyperHot as an environment of Gymnasium, single and vectorised."""

import pickle
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mmrl_envs  # noqa: F401  (registers the id)
from mmrl_envs.faults.sensor_dropout import SensorDropout
from mmrl_envs.hyperhot import HyperHotEnv, HyperHotVectorEnv
from mmrl_envs.seeding import sub_seeds

ID = "mmrl/HyperHot-v0"


def rollout(env: gymnasium.Env[Any, Any], steps: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [env.reset(seed=seed), *(env.step(int(rng.integers(6))) for _ in range(steps))]


def test_passes_the_checker_of_gymnasium() -> None:
    check_env(gymnasium.make(ID, render_mode="rgb_array").unwrapped)


def test_passes_the_checker_of_stable_baselines() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it takes waveforms for images
        stable_baselines3.common.env_checker.check_env(gymnasium.make(ID).unwrapped)


def test_the_same_seed_gives_the_same_game() -> None:
    first, second, other = (rollout(HyperHotEnv(), 30, seed) for seed in (1, 1, 2))
    assert data_equivalence(first, second, exact=True)
    assert not data_equivalence(first, other)


def test_the_newest_frame_comes_last_and_a_start_is_repeated() -> None:
    stacked, plain = HyperHotEnv(stack=3), HyperHotEnv(stack=1)
    deep, flat = rollout(stacked, 10, 0), rollout(plain, 10, 0)
    frames = [result[0] for result in flat]
    frames = [frames[0]] * 2 + frames
    for step, result in enumerate(deep):
        for name, values in result[0].items():
            expected = np.concatenate([frame[name] for frame in frames[step : step + 3]])
            np.testing.assert_array_equal(values, expected)


def test_time_is_up_after_the_limit_and_truncates() -> None:
    limit: Any = gymnasium.make(ID).unwrapped
    assert limit._task._game.episode_length == 15 * 30
    env = HyperHotEnv(episode_length=4)
    ends = [result[1:] for result in rollout(env, 4, 0)[1:]]
    assert ends == [(0.0, False, False, {"enemies": 4})] * 3 + [(-1.0, False, True, {"enemies": 4})]


def test_frames_are_skipped_and_actions_repeated() -> None:
    plain, skipping = HyperHotEnv(stack=1), HyperHotEnv(stack=1, frame_skip=3)
    for env in (plain, skipping):
        env.reset(seed=4)
    for _ in range(3):
        frames = [plain.step(5)[0] for _ in range(3)]
        np.testing.assert_equal(skipping.step(5)[0], frames[-1])
    assert (skipping.metadata["render_fps"], plain.metadata["render_fps"]) == (10, 30)
    assert HyperHotVectorEnv(2, frame_skip=3).metadata["render_fps"] == 10


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_vector_environment_equals_single_ones(mode: AutoresetMode) -> None:
    native = HyperHotVectorEnv(4, autoreset_mode=mode, episode_length=40)
    single = SyncVectorEnv([lambda: HyperHotEnv(episode_length=40)] * 4, autoreset_mode=mode)
    assert native.observation_space == single.observation_space
    assert native.action_space == single.action_space
    native.reset(seed=3)
    single.reset(seed=sub_seeds(3, 4))
    actions = np.random.default_rng(0).integers(0, 6, (100, 4))
    for action in actions:
        assert data_equivalence(native.step(action), single.step(action), exact=True)


def test_made_by_make_vec_and_rebuilt_from_the_specification() -> None:
    envs = gymnasium.make_vec(ID, num_envs=3, autoreset_mode="SameStep", stack=1)
    assert isinstance(envs.unwrapped, HyperHotVectorEnv)
    assert envs.spec is not None
    copy = gymnasium.make_vec(envs.spec)
    assert data_equivalence(envs.reset(seed=1), copy.reset(seed=1), exact=True)
    env = gymnasium.make(ID, stack=1, episode_length=50)
    assert env.spec is not None
    twin = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert data_equivalence(rollout(env, 5, 0), rollout(twin, 5, 0), exact=True)


def test_a_copy_through_pickle_goes_on_the_same() -> None:
    env = HyperHotEnv()
    env.reset(seed=0)
    for step in range(20):
        env.step(step % 6)
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301  (our own)
    for step in range(20):
        assert data_equivalence(env.step(step % 6), copy.step(step % 6), exact=True)


def test_sensors_fail_in_it_like_in_any_environment() -> None:
    fault = {"pattern": "fixed", "channels": ["sound"], "mechanism": "blackout"}
    observation, _ = SensorDropout(gymnasium.make(ID), [fault]).reset(seed=0)
    assert observation["available"].tolist() == [1, 0]
    assert observation["image"].any()
    assert not observation["sound"].any()


def test_the_picture_shows_the_game() -> None:
    env = HyperHotEnv(render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (420, 560, 3)
    env.step(2)
    assert (env.render() != first).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stack": 0}, "stack must be at least 1, got 0"),
        ({"episode_length": 0}, "episode_length must be at least 1, got 0"),
        ({"frame_skip": 0}, "frame_skip must be at least 1, got 0"),
        ({"hit_reward": float("nan")}, "hit_reward must be finite, got nan"),
        ({"render_mode": "human"}, "render_mode must be 'rgb_array' or None, got 'human'"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HyperHotEnv(**arguments)


@pytest.mark.parametrize("action", [6, -1, 1.0, [1], None])
def test_wrong_actions_are_refused(action: Any) -> None:
    env = HyperHotEnv()
    env.reset()
    with pytest.raises(ValueError, match="actions must be"):
        env.step(action)


def test_wrong_vector_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        HyperHotVectorEnv(0)
    envs = HyperHotVectorEnv(3)
    envs.reset()
    with pytest.raises(ValueError, match=r"actions must be 3 integers, .*shape \(2,\)"):
        envs.step(np.zeros(2, np.int64))
