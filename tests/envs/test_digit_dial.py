"""A dial that is seen and heard: checkers, rewards by hand, streams, and data that do not fit."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

import mmrl_envs  # noqa: F401  (registers the id)
from mmrl_envs.digit_dial import DigitDialEnv, DigitDialVectorEnv
from mmrl_envs.seeding import sub_seeds

ID = "mmrl/DigitDial-v0"
CLASSES, COPIES = 10, 3


def recordings() -> dict[str, np.ndarray]:
    """Pixels tell class and copy, and sounds are minus that."""
    code = np.arange(CLASSES * COPIES, dtype=np.uint8)
    image = np.broadcast_to(code[:, None, None, None], (len(code), 1, 36, 36)).copy()
    sound = -np.broadcast_to(code[:, None], (len(code), 5)).astype(np.float64)
    arrays: dict[str, np.ndarray] = {"image": image, "sound": sound, "target": code // COPIES}
    return {f"{split}/{name}": a for split in ("train", "test") for name, a in arrays.items()}


def digit_of(observation: dict[str, Any]) -> int:
    shown = int(observation["image"].flat[0])
    assert float(observation["sound"][0]) == -shown
    return shown // COPIES


def test_passes_the_checkers_of_gymnasium_and_stable_baselines() -> None:
    env = gymnasium.make(ID, data=recordings(), render_mode="rgb_array").unwrapped
    check_env(env, skip_render_check=True)  # its specification holds arrays
    stable_baselines3.common.env_checker.check_env(env)
    env.reset(seed=0)
    frame: Any = env.render()
    assert frame.shape == (288, 288, 3)


def test_rewards_are_distances_on_the_circle() -> None:
    env = DigitDialEnv(data=recordings(), episode_length=12, goal=8)
    observation, info = env.reset(seed=3)
    digit = info["digit"]
    assert digit_of(observation) == digit
    rng = np.random.default_rng(0)
    for turn in range(1, 13):
        action = int(rng.integers(3))
        observation, reward, terminated, truncated, info = env.step(action)
        digit = (digit + (0, 1, -1)[action]) % 10
        assert info["digit"] == digit_of(observation) == digit
        ways = [abs(digit - 8 - 10 * k) for k in (-1, 0, 1)]
        assert reward == pytest.approx(-min(ways) / 5)
        assert (terminated, truncated) == (False, turn == 12)


def test_the_documented_rewards_of_the_perfect_and_the_random_policy() -> None:
    envs = DigitDialVectorEnv(400, data=recordings(), autoreset_mode="SameStep")
    means = []
    for perfect in (True, False):
        _, infos = envs.reset(seed=1)
        envs.action_space.seed(0)
        rewards = []
        for _ in range(20):
            digit = infos["digit"]
            towards = np.where(digit == 0, 0, np.where(digit >= 5, 1, 2))
            actions = towards if perfect else envs.action_space.sample()
            _, reward, _, _, infos = envs.step(actions)
            rewards.append(reward)
        means.append(np.mean(rewards))
    assert means == pytest.approx([-0.03, -0.5], abs=0.02)


def test_recordings_of_a_digit_differ_from_turn_to_turn() -> None:
    env = DigitDialEnv(data=recordings())
    observation, _ = env.reset(seed=0)
    seen = {int(env.step(0)[0]["image"].flat[0]) for _ in range(20)}
    assert len(seen | {int(observation["image"].flat[0])}) == COPIES


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
def test_vector_and_single_agree(mode: AutoresetMode) -> None:
    envs = DigitDialVectorEnv(3, data=recordings(), episode_length=4, autoreset_mode=mode)
    singles = [DigitDialEnv(data=recordings(), episode_length=4) for _ in range(3)]
    batch, _ = envs.reset(seed=5)
    for i, (env, seed) in enumerate(zip(singles, sub_seeds(5, 3), strict=True)):
        own, _ = env.reset(seed=seed)
        assert data_equivalence(own, {k: v[i] for k, v in batch.items()}, exact=True)
    rng = np.random.default_rng(0)
    for turn in range(1, 4):
        actions = rng.integers(3, size=3)
        batch, rewards, *_ = envs.step(actions)
        for i, env in enumerate(singles):
            own, reward, *_ = env.step(int(actions[i]))
            assert data_equivalence(own, {k: v[i] for k, v in batch.items()}, exact=True), turn
            assert reward == rewards[i]


def test_a_file_is_read_by_split(tmp_path: Path) -> None:
    arrays = recordings()
    arrays["test/image"] = arrays["test/image"] + 100
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    path = tmp_path / "data.npz"
    for split, least in (("train", 0), ("test", 100)):
        env = DigitDialEnv(data=str(path), split=split)
        assert int(env.reset(seed=0)[0]["image"].flat[0]) >= least
        assert int(env.reset(seed=0)[0]["image"].flat[0]) < least + 100


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"split": "valid"}, r"must have valid/target, one class for each .*train/image"),
        ({}, {"goal": 10}, "goal must be a class from 0 to 9, got 10"),
        ({}, {"episode_length": 0}, "episode_length"),
        ({}, {"data": "nowhere.npz"}, r"no recordings at nowhere\.npz"),
        ({"train/sound": np.zeros((4, 5))}, {}, r"30 recordings do not have channels of shapes"),
        ({"train/target": np.full(30, 2)}, {}, r"has no recording of the classes \[0, 1\]"),
        ({"train/target": np.zeros(30)}, {}, "one class for each recording"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DigitDialEnv(**{"data": recordings() | changes, **settings})


def test_actions_are_checked() -> None:
    env = DigitDialEnv(data=recordings())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions must be from 0 to 2"):
        env.step(3)
    with pytest.raises(ValueError, match="integers"):
        env.step(0.5)
