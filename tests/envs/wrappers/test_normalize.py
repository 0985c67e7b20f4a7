"""Channels with mean 0 and variance 1, in single and vector environments."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mmrl_envs  # noqa: F401  (registers the ids)
from mmrl_envs.faults.sensor_dropout import SensorDropout
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics
from mmrl_envs.wrappers.normalize import NormalizeChannels, VectorNormalizeChannels
from mmrl_envs.wrappers.split import SplitObservation

PENDULUM = "mmrl/MultimodalPendulum-v0"
SPACE = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (4, 4), np.uint8),
        "joints": spaces.Box(-np.inf, np.inf, (2,), np.float64),
        "sound": spaces.Box(-9, 9, (1,), np.float32),
    }
)


def counts_of(statistics: ChannelStatistics) -> dict[str, int]:
    return {name: int(count.max()) for name, count in statistics.count.items()}


def frames(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "image": np.zeros((4, 4), np.uint8),
            "joints": rng.normal([5, -3], [2, 0.1]),
            "sound": rng.uniform(-9, 9, 1).astype(np.float32),
        }
        for _ in range(count)
    ]


def test_it_normalizes_by_what_it_has_seen_so_far(replay: Any) -> None:
    values = frames(200)
    env = NormalizeChannels(replay(SPACE, values))
    observation, _ = env.reset()
    assert observation["joints"].tolist() == [0, 0]
    for step in range(1, 200):
        observation, *_ = env.step(0)
        seen = np.array([frame["joints"] for frame in values[: step + 1]])
        expected = (seen[-1] - seen.mean(axis=0)) / seen.std(axis=0)
        np.testing.assert_allclose(observation["joints"], np.clip(expected, -10, 10), rtol=1e-4)
        assert env.observation_space.contains(observation)
        assert observation["image"].dtype == np.uint8


def test_chosen_channels_only(replay: Any) -> None:
    env = NormalizeChannels(replay(SPACE, frames(3)), ["sound"], clip=2.0)
    observation, _ = env.reset()
    np.testing.assert_array_equal(observation["joints"], frames(1)[0]["joints"])
    space: Any = env.observation_space
    assert space["joints"] == SPACE["joints"]
    assert space["sound"] == spaces.Box(-2, 2, (1,), np.float32)
    assert list(env.statistics.count) == ["sound"]


def test_frozen_from_a_file_it_sees_nothing(replay: Any, tmp_path: Path) -> None:
    path = tmp_path / "channels.npz"
    trained = NormalizeChannels(replay(SPACE, frames(50)))
    trained.reset()
    for _ in range(49):
        trained.step(0)
    trained.statistics.save(path)
    frozen = NormalizeChannels(replay(SPACE, frames(50)), statistics=path, update=False)
    observation, _ = frozen.reset()
    expected = trained.statistics.normalize(
        "joints", frames(1)[0]["joints"], clip=10.0, epsilon=1e-8
    )
    np.testing.assert_array_equal(observation["joints"], expected)
    assert counts_of(frozen.statistics) == {"joints": 50, "sound": 50}
    frozen.update = True
    frozen.step(0)
    assert counts_of(frozen.statistics) == {"joints": 51, "sound": 51}


def test_seeds_determine_observations_once_it_is_frozen(tmp_path: Path) -> None:
    running = NormalizeChannels(
        SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]})
    )
    assert running.spec is not None
    assert running.spec.nondeterministic
    running.reset(seed=0)
    running.statistics.save(tmp_path / "channels.npz")
    frozen = NormalizeChannels(
        SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]}),
        statistics=tmp_path / "channels.npz",
        update=False,
    )
    assert frozen.spec is not None
    assert not frozen.spec.nondeterministic
    first, second = (frozen.reset(seed=1)[0] for _ in range(2))
    np.testing.assert_array_equal(first["pole"], second["pole"])


def test_faults_outside_leave_the_statistics_alone() -> None:
    counts = []
    for fault in ([], [{"pattern": "fixed", "channels": ["cart"], "mechanism": "blackout"}]):
        env = SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]})
        normalized = NormalizeChannels(env)
        faulty = SensorDropout(normalized, fault)
        faulty.reset(seed=0)
        for step in range(8):
            faulty.step(step % 2)
        counts.append(normalized.statistics.mean["cart"].tolist())
    assert counts[0] == counts[1] != [0, 0]


def test_it_refuses_to_see_failed_sensors() -> None:
    env = SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]})
    with pytest.raises(ValueError, match=r"before its sensors fail.*\['cart', 'pole'\]"):
        NormalizeChannels(SensorDropout(env, []))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": ["touch"]}, r"no channels \['touch'\].*\['image', 'joints', 'sound'\]"),
        ({"channels": ["image"]}, r"floating Boxes, got \['image'\].*floating are \['joints'"),
        ({"update": False}, "update=False needs statistics"),
        ({"clip": 0.0}, "clip must be finite and greater than 0"),
        ({"epsilon": -1.0}, "epsilon must be finite and greater than 0"),
    ],
)
def test_wrong_arguments_are_refused(replay: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormalizeChannels(replay(SPACE, []), **arguments)


def test_a_file_of_other_channels_is_refused(replay: Any, tmp_path: Path) -> None:
    path = tmp_path / "channels.npz"
    NormalizeChannels(replay(SPACE, []), ["sound"]).statistics.save(path)
    with pytest.raises(
        ValueError, match=r"channels.npz are of {'sound': \(1,\)}, the channels are {'joints'"
    ):
        NormalizeChannels(replay(SPACE, []), statistics=path)


class TestVector:
    def test_all_sub_environments_share_one_statistic(self) -> None:
        envs = gymnasium.make_vec(PENDULUM, num_envs=3)
        twin = gymnasium.make_vec(PENDULUM, num_envs=3)
        normalized = VectorNormalizeChannels(envs)
        seen = [twin.reset(seed=1)[0]["sound"]]
        observation, _ = normalized.reset(seed=1)
        for _ in range(20):
            action = np.zeros((3, 1), np.float32)
            seen.append(twin.step(action)[0]["sound"])
            observation, *_ = normalized.step(action)
        everything = np.concatenate(seen)
        np.testing.assert_allclose(
            normalized.statistics.mean["sound"], everything.mean(axis=0), rtol=1e-5
        )
        expected = (seen[-1] - everything.mean(axis=0)) / everything.std(axis=0)
        np.testing.assert_allclose(observation["sound"], expected, atol=1e-3)
        assert normalized.observation_space.contains(observation)
        assert observation["image"].dtype == np.uint8
        normalized.update = False
        normalized.step(np.zeros((3, 1), np.float32))
        assert counts_of(normalized.statistics) == {"sound": 63}

    def test_last_observations_are_normalized_and_counted(self) -> None:
        envs = gymnasium.make_vec(
            PENDULUM,
            num_envs=2,
            autoreset_mode=AutoresetMode.SAME_STEP,
            episode_length=3,
        )
        normalized = VectorNormalizeChannels(envs, clip=2.0)
        normalized.reset(seed=0)
        for _ in range(3):
            *_, infos = normalized.step(np.zeros((2, 1), np.float32))
        assert counts_of(normalized.statistics) == {"sound": 2 * (1 + 3 + 1)}
        last = infos["final_obs"][1]
        assert normalized.single_observation_space.contains(last)
        assert last["sound"].min() < 0

    def test_a_reset_of_some_counts_some(self) -> None:
        mode = AutoresetMode.DISABLED
        envs = gymnasium.make_vec(PENDULUM, num_envs=3, autoreset_mode=mode)
        normalized = VectorNormalizeChannels(envs)
        normalized.reset(seed=0)
        normalized.reset(options={"reset_mask": np.array([True, False, False])})
        assert counts_of(normalized.statistics) == {"sound": 4}

    def test_it_works_over_sub_environments_made_by_wrappers(self) -> None:
        def make() -> gymnasium.Env[Any, Any]:
            return SplitObservation(gymnasium.make("CartPole-v1"), {"cart": [0, 2], "pole": [2, 4]})

        normalized = VectorNormalizeChannels(SyncVectorEnv([make, make]), ["pole"])
        observation, _ = normalized.reset(seed=0)
        assert normalized.observation_space.contains(observation)
        assert counts_of(normalized.statistics) == {"pole": 2}

    def test_wrong_channels_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"no channels \['touch'\]"):
            VectorNormalizeChannels(gymnasium.make_vec(PENDULUM, num_envs=2), ["touch"])
