"""The single multimodal pendulum environment."""

import math
import pickle
import subprocess
import sys
import warnings
from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import HumanRendering

from mmrl_envs import SensorDropout
from mmrl_envs.pendulum import MultimodalPendulumEnv

ID = "mmrl/MultimodalPendulum-v0"


def rollout(env: gymnasium.Env[Any, Any], steps: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    record: list[Any] = [env.reset(seed=seed)]
    record += [env.step(rng.uniform(-2, 2, 1).astype(np.float32)) for _ in range(steps)]
    return record


def test_passes_the_checker_of_gymnasium() -> None:
    env = gymnasium.make(ID, render_mode="rgb_array", max_torque=1.0)
    check_env(env.unwrapped)  # any warning is an error here


def test_passes_the_checker_of_stable_baselines() -> None:
    env = gymnasium.make(ID).unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stable_baselines3.common.env_checker.check_env(env)
    # Advice only: it takes three axes of sound for an image and prefers actions within [-1, 1].
    # Its policies flatten the sound, which is no uint8, and scale actions by themselves.
    assert [
        str(warning.message).split(" but ")[0].split(" cf. ")[0].split(" need ")[0]
        for warning in caught
    ] == [
        "It seems that your observation sound is an image",
        "It seems that your observation space sound is an image",
        "The minimal resolution for an image is 36x36 for the default `CnnPolicy`. You might",
        "We recommend you to use a symmetric and normalized Box action space (range=[-1, 1])",
    ]


def test_spaces() -> None:
    env = gymnasium.make(ID)
    assert env.action_space == gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    assert env.observation_space == gymnasium.spaces.Dict(
        {
            "image": gymnasium.spaces.Box(0, 255, (2, 60, 60), np.uint8),
            "sound": gymnasium.spaces.Box(0.0, 1.0, (2, 3, 2), np.float32),
        }
    )


def test_observations_stay_within_the_space() -> None:
    env = MultimodalPendulumEnv(receivers=[(1.5, 0.0)], stack=3, image_size=40)
    for record in rollout(env, 200, seed=3):
        assert env.observation_space.contains(record[0])
    for theta in np.linspace(-math.pi, math.pi, 101):  # the extremes of the amplitude
        observation, _ = env.reset(options={"state": (theta, 8.0)})
        assert env.observation_space.contains(observation)


def test_exact_start_has_no_warm_up_and_repeats_the_observation() -> None:
    env = MultimodalPendulumEnv()
    observation, info = env.reset(options={"state": (0.0, 0.0)})
    np.testing.assert_array_equal(info["state"], [0.0, 0.0])
    np.testing.assert_array_equal(*observation["image"])
    np.testing.assert_array_equal(*observation["sound"])
    low, high = 314.285714, 733.333333
    np.testing.assert_allclose(observation["sound"][..., 0], (440 - low) / (high - low), rtol=1e-5)
    assert observation["sound"][0, 2, 1] == pytest.approx(1.0)


def test_start_is_one_step_without_torque_after_the_drawn_state() -> None:
    env = MultimodalPendulumEnv()
    _, info = env.reset(seed=11)
    unit = np.random.default_rng(11).random(2)
    env.reset(options={"state": (2 * unit - 1) * (math.pi, 1.0)})
    _, _, _, _, expected = env.step(np.zeros(1, np.float32))
    np.testing.assert_array_equal(info["state"], expected["state"])


def test_starts_cover_the_circle() -> None:
    env = MultimodalPendulumEnv()
    env.reset(seed=0)
    starts = np.array([env.reset()[1]["state"] for _ in range(500)])
    angle = (starts[:, 0] + math.pi) % (2 * math.pi) - math.pi
    assert np.all(np.histogram(angle, 8, (-math.pi, math.pi))[0] > 30)
    assert np.abs(starts[:, 1]).max() <= 1 + 0.05 * 15


def test_stack_holds_the_newest_observation_last() -> None:
    env = MultimodalPendulumEnv(stack=3)
    newest = [env.reset(seed=1)[0]["image"][-1]]
    for _ in range(3):
        observation = env.step(np.ones(1, np.float32))[0]
        newest.append(observation["image"][-1])
    np.testing.assert_array_equal(observation["image"], newest[-3:])


def test_episode_is_truncated_and_never_terminates() -> None:
    env = MultimodalPendulumEnv(episode_length=4)
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]
    env.reset()
    assert env.step(np.zeros(1, np.float32))[2:4] == (False, False)


def test_same_seed_same_trajectory() -> None:
    first, second, other = (rollout(MultimodalPendulumEnv(), 20, seed) for seed in (5, 5, 6))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_equal(a, b)
    assert not np.array_equal(first[0][1]["state"], other[0][1]["state"])


def test_actions_are_clipped_at_the_torque_limit() -> None:
    rewards = []
    for torque in (2.0, 50.0):
        env = MultimodalPendulumEnv()
        env.reset(options={"state": (1.0, 0.0)})
        rewards.append(env.step(np.array([torque], np.float32))[1])
    assert rewards[0] == rewards[1] == pytest.approx(-1.004)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.array([np.nan], np.float32), "action must be finite"),
        (np.array([np.inf], np.float32), "action must be finite"),
        (np.zeros(2, np.float32), r"action must have shape \(1,\), got \(2,\)"),
        (np.zeros((), np.float32), r"action must have shape \(1,\), got \(\)"),
    ],
)
def test_bad_actions_are_refused(action: Any, message: str) -> None:
    env = MultimodalPendulumEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.unwrapped.step(action)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": (1.0,)}, "shape"),
        ({"state": (np.nan, 0.0)}, "finite"),
        ({"state": (0.0, 9.0)}, "within"),
        ({"stat": (0.0, 0.0)}, r"unknown reset options \['stat'\], known are \['state'\]"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultimodalPendulumEnv().reset(options=options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"receivers": []}, ValueError, "one or more"),
        ({"receivers": [(1.0, 2.0, 3.0)]}, ValueError, "pairs"),
        ({"receivers": [(0.5, 0.5)]}, ValueError, "farther than 1"),
        ({"receivers": [(np.nan, 2.0)]}, ValueError, "finite"),
        ({"sound_speed": 8.0}, ValueError, "greater than 8, got 8"),
        ({"sound_speed": "fast"}, TypeError, "sound_speed"),
        ({"max_torque": 0.0}, ValueError, "greater than 0"),
        ({"max_torque": math.inf}, ValueError, "finite"),
        ({"stack": 0}, ValueError, "at least 1, got 0"),
        ({"stack": 2.0}, TypeError, "stack"),
        ({"image_size": 4}, ValueError, "from 8 to 512, got 4"),
        ({"episode_length": True}, TypeError, "episode_length"),
        ({"dynamics": "mujoco"}, ValueError, "'paper' or 'gymnasium', got 'mujoco'"),
        ({"render_mode": "human"}, ValueError, "HumanRendering"),
        ({"stak": 3}, TypeError, r"unknown arguments \['stak'\], known are \['receivers'"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MultimodalPendulumEnv(**arguments)


def test_step_and_render_before_reset_are_refused() -> None:
    env = MultimodalPendulumEnv(render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(np.zeros(1, np.float32))
    with pytest.raises(ResetNeeded, match="reset"):
        env.render()


def test_returned_arrays_belong_to_the_caller() -> None:
    spoiled, clean = MultimodalPendulumEnv(), MultimodalPendulumEnv()
    for env in (spoiled, clean):
        observation, info = env.reset(seed=2)
        if env is spoiled:
            observation["image"][:] = 1
            observation["sound"][:] = 1
            info["state"][:] = 1
    np.testing.assert_equal(
        spoiled.step(np.ones(1, np.float32)), clean.step(np.ones(1, np.float32))
    )


def test_survives_pickling_in_the_middle_of_an_episode() -> None:
    env = MultimodalPendulumEnv(image_size=36)
    rollout(env, 5, seed=0)
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301
    np.testing.assert_equal(env.step(np.ones(1, np.float32)), copy.step(np.ones(1, np.float32)))
    np.testing.assert_equal(env.reset(), copy.reset())


def test_is_rebuilt_from_its_spec() -> None:
    env = gymnasium.make(ID, stack=3, receivers=((0.0, 3.0),))
    assert env.spec is not None
    copy = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert copy.observation_space == env.observation_space
    np.testing.assert_equal(rollout(env, 3, seed=1), rollout(copy, 3, seed=1))


def test_renders_the_image_beside_the_sound() -> None:
    env = gymnasium.make(ID, render_mode="rgb_array")
    env.reset(options={"state": (0.0, 0.0)})
    upright: Any = env.render()
    env.reset(options={"state": (1.5, 8.0)})
    moving: Any = env.render()
    assert upright.dtype == np.uint8
    assert upright.shape == moving.shape == (360, 640, 3)
    shown = cv2.resize(upright[:, :360, 0], (60, 60), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(shown, env.reset(options={"state": (0.0, 0.0)})[0]["image"][0])
    assert np.any(upright[:, 360:] != moving[:, 360:])


def test_render_without_a_mode_warns() -> None:
    env = MultimodalPendulumEnv()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


def test_importing_the_package_loads_neither_torch_nor_opencv() -> None:
    code = (
        "import sys, gymnasium, mmrl_envs; gymnasium.make('mmrl/MultimodalPendulum-v0').reset();"
        "print(sorted({'torch', 'cv2', 'mmrl', 'stable_baselines3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_window_shows_it_through_human_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame", reason="the extra `human`")
    bare = gymnasium.make("mmrl/MultimodalPendulum-v0", render_mode="rgb_array")
    env: Any = HumanRendering(SensorDropout(bare, [{"pattern": "fixed", "channels": ["sound"]}]))
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    shown = pygame.surfarray.array3d(env.window).transpose(1, 0, 2)
    assert np.array_equal(shown, env.env.render())
    env.close()
