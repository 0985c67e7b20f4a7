from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from mmrl_envs.wrappers.conform import Conform, state_vector

SPACE = spaces.Dict({"clock": spaces.Box(0, 99, (1,), np.float32), "mode": spaces.Discrete(9)})


class Clock(gymnasium.Env[Any, Any]):
    """Writes into the same arrays, and ends after seven steps; answers may be replaced."""

    observation_space = SPACE
    action_space = spaces.Discrete(2)

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.buffer: dict[str, Any] = {"clock": np.zeros(1, np.float32), "mode": 3}
        self.time = 0

    def answer(self, reward: Any = 0.5) -> tuple[Any, Any, Any, Any, Any]:
        self.buffer["clock"][:] = self.time
        told = {
            "observation": self.buffer,
            "reward": reward,
            "terminated": False,
            "truncated": self.time == 7,
            "info": {},
        } | self.answers
        return tuple(told.values())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.time = 0
        return self.answer()[0], self.answer()[4]

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        self.time += 1
        return self.answer()


def test_the_last_observation_of_an_episode_stays_what_it_was() -> None:
    kinds = [lambda: Conform(Clock())] * 2
    envs: Any = SyncVectorEnv(kinds, autoreset_mode=AutoresetMode.SAME_STEP)
    envs.reset(seed=0)
    for _ in range(7):
        observation, *_, infos = envs.step(np.zeros(2, np.int64))
    assert observation["clock"].ravel().tolist() == [0, 0]
    assert [final["clock"].tolist() for final in infos["final_obs"]] == [[7], [7]]


@pytest.mark.parametrize(
    ("reward", "number"),
    [(np.array([2], np.float32), 2.0), (np.array([[3]]), 3.0), (True, 1.0), (np.int64(4), 4.0)],
)
def test_a_reward_is_a_number(reward: Any, number: float) -> None:
    env = Conform(Clock(reward=reward))
    env.reset()
    told = env.step(0)[1]
    assert isinstance(told, float)
    assert told == number


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"reward": np.zeros(2)}, r"the reward must be one finite number, got array"),
        ({"reward": np.nan}, "the reward must be one finite number, got nan"),
        ({"reward": None}, "the reward must be one finite number, got None"),
        ({"terminated": None}, "terminated must be one finite number, got None"),
        ({"info": None}, "info must be a dict, got None"),
        ({"observation": np.zeros(1)}, r"expected a dict of \['clock', 'mode'\], got array"),
        ({"observation": {"clock": [0, 0], "mode": 1}}, r"sensor 'clock' has shape \(1,\), got"),
        ({"observation": {"clock": [0]}}, r"sensor 'mode' delivered nothing"),
        ({"observation": {"clock": [0], "mode": 0.5}}, r"sensor 'mode' delivers int64"),
    ],
)
def test_what_breaks_the_contract_is_said(answers: Mapping[str, Any], message: str) -> None:
    env = Conform(Clock(**answers))

    def play() -> None:
        env.reset()
        env.step(0)

    with pytest.raises(ValueError, match=message):
        play()


def test_nothing_from_a_sensor_of_floats_is_nan() -> None:
    observation, _ = Conform(Clock(observation={"mode": 1})).reset()
    np.testing.assert_array_equal(observation["clock"], [np.nan])
    nested = spaces.Tuple((SPACE, spaces.Box(0, 1, (2,), np.float32)))

    class Nested(Clock):
        observation_space = nested  # type: ignore[assignment]

    observation, _ = Conform(Nested(observation=({"mode": 1, "clock": None}, None))).reset()
    np.testing.assert_array_equal(observation[1], [np.nan, np.nan])
    np.testing.assert_array_equal(observation[0]["clock"], [np.nan])


@pytest.mark.parametrize(
    "state", ["moving", {"x": 1.0}, [np.nan, 1.0], 3.0, [[1.0]], [], None, [1, [2, 3]], b"x"]
)
def test_a_state_that_is_no_finite_vector_is_left_out(state: Any) -> None:
    assert state_vector(state) is None
    _, info = Conform(Clock(info={"state": state, "lives": 3})).reset()
    assert info == {"lives": 3}


def test_infos_of_all_kinds_can_be_batched() -> None:
    odd: list[Any] = [
        {"state": [0.0, 1], "x": 3, "y": "a", 7: 1},
        {"state": np.zeros(3), "x": np.zeros(2), "y": {"z": 1}, "hit": np.True_},
    ]
    envs: Any = SyncVectorEnv([lambda info=info: Conform(Clock(info=info)) for info in odd])  # type: ignore[misc]
    _, infos = envs.reset(seed=0)
    assert list(infos["state"]) == [(0.0, 1.0), (0.0, 0.0, 0.0)]
    assert infos["hit"].tolist() == [False, True]
    assert "y" not in infos
