"""Environments over a batched task, on a small task of known behaviour."""

import pickle
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from mmrl_envs.batched import BatchedEnv, BatchedTask, BatchedVectorEnv
from mmrl_envs.seeding import sub_seeds

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


class Countdown(BatchedTask):
    """Counts down from a random start by 1 or 2 and ends at 0; 7 steps are the limit."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.left = np.zeros(count, np.int64)
        self.steps = np.zeros(count, np.int64)
        self.observation_space = spaces.Dict({"left": spaces.Box(-1, 10, (1,), np.float32)})
        self.action_space = spaces.Discrete(2)

    def check_actions(self, actions: Any) -> NDArray[Any]:
        if np.shape(actions) != (self.count,):
            raise ValueError(f"{self.count} actions, got {np.shape(actions)}")
        return np.asarray(actions)

    def restart(self, rows: NDArray[np.intp], generators: Sequence[np.random.Generator]) -> None:
        self.left[rows] = [generator.integers(3, 11) for generator in generators]
        self.steps[rows] = 0

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], Any, Any]:
        self.steps += 1
        self.left -= 1 + actions
        ended = self.left <= 0
        self.left = np.maximum(self.left, -1)
        return self.left.astype(np.float64), ended, (self.steps >= 7) & ~ended

    def observe(self, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        return {"left": self.left[rows, None].astype(np.float32)}

    def infos(self) -> dict[str, NDArray[Any]]:
        return {"steps": self.steps.copy(), "half": self.left / 2}

    def draw(self, row: int) -> NDArray[np.uint8]:
        return np.full((4, 4, 3), self.left[row] + 1, np.uint8)


class One(BatchedEnv):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(Countdown(1), render_mode)


class Many(BatchedVectorEnv):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, count: int, mode: Any = "NextStep", render_mode: str | None = None) -> None:
        super().__init__(Countdown(count), mode, render_mode)


def actions(steps: int, count: int) -> Any:
    return np.random.default_rng(0).integers(0, 2, (steps, count))


def test_the_single_environment_passes_the_checker() -> None:
    check_env(One("rgb_array"), skip_render_check=True)  # that one wants a registered id


@pytest.mark.parametrize("mode", MODES)
def test_the_vector_environment_equals_single_ones(mode: AutoresetMode) -> None:
    native, single = Many(5, mode), SyncVectorEnv([One] * 5, autoreset_mode=mode)
    assert native.observation_space == single.observation_space
    assert native.action_space == single.action_space
    first = native.reset(seed=3), single.reset(seed=sub_seeds(3, 5))
    assert data_equivalence(*first, exact=True)
    ends = set()
    for action in actions(60, 5):
        result = native.step(action)
        assert data_equivalence(result, single.step(action), exact=True)
        ends |= {(bool(t), bool(u)) for t, u in zip(result[2], result[3], strict=True)}
    assert ends == {(False, False), (True, False), (False, True)}


@pytest.mark.parametrize("mode", MODES)
def test_masked_resets_equal_those_of_single_environments(mode: AutoresetMode) -> None:
    native, single = Many(3, mode), SyncVectorEnv([One] * 3, autoreset_mode=mode)
    for envs in (native, single):
        envs.reset(seed=[1, 2, 3])
    for index, action in enumerate(actions(30, 3)):
        if index % 4 == 3:
            options = {"reset_mask": np.array([False, True, index % 8 == 3])}
            results = [envs.reset(options=dict(options)) for envs in (native, single)]
            np.testing.assert_array_equal(results[0][0]["left"], results[1][0]["left"])
        assert data_equivalence(native.step(action), single.step(action), exact=True)


def test_disabled_autoreset_asks_for_a_reset_of_those_that_ended() -> None:
    envs = Many(2, "Disabled")
    envs.reset(seed=[0, 0])
    envs.reset(options={"reset_mask": np.array([True, False])})
    for _ in range(7):
        *_, terminated, truncated, _ = envs.step(np.zeros(2, np.int64))
        ended = terminated | truncated
        if ended.any():
            break
    with pytest.raises(ResetNeeded, match=rf"\[{np.flatnonzero(ended)[0]}.* have ended"):
        envs.step(np.zeros(2, np.int64))
    envs.reset(options={"reset_mask": ended})
    envs.step(np.zeros(2, np.int64))


def test_what_is_returned_belongs_to_the_caller() -> None:
    for mode in MODES:
        spoiled, clean = Many(2, mode), Many(2, mode)
        spoiled.reset(seed=0)
        clean.reset(seed=0)
        for action in actions(20, 2):
            result = spoiled.step(action)
            assert data_equivalence(result, clean.step(action), exact=True)
            for array in (*result[0].values(), *result[1:4], result[4]["steps"]):
                array[:] = 1


def test_a_copy_through_pickle_goes_on_the_same() -> None:
    for original in (One(), Many(2)):
        original.reset(seed=0)
        copy = pickle.loads(pickle.dumps(original))  # noqa: S301  (our own)
        action = np.zeros(2, np.int64) if isinstance(original, Many) else 0
        for _ in range(9):
            assert data_equivalence(original.step(action), copy.step(action), exact=True)


def test_pictures_of_every_environment() -> None:
    envs = Many(2, render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match="reset"):
        envs.render()
    observations, _ = envs.reset(seed=0)
    frames = envs.render()
    assert [frame[0, 0, 0] - 1 for frame in frames] == observations["left"][:, 0].tolist()


def test_without_a_render_mode_there_is_a_warning() -> None:
    for env in (One(), Many(1)):
        env.reset()
        with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
            assert env.render() is None


def test_misuse_is_refused() -> None:
    one, many = One(), Many(3)
    for env, action in ((one, 0), (many, np.zeros(3, np.int64))):
        with pytest.raises(ResetNeeded, match="reset"):
            env.step(action)
        with pytest.raises(ValueError, match=r"unknown reset options \['speed'\]"):
            env.reset(options={"speed": 1})
    with pytest.raises(ResetNeeded, match="first reset"):
        many.reset(options={"reset_mask": np.array([True, False, True])})
    for mask in ([True, False], [1, 0, 1], [False] * 3):
        with pytest.raises(ValueError, match="must be 3 booleans with at least one True"):
            many.reset(options={"reset_mask": np.array(mask)})
    with pytest.raises(ValueError, match=r"one per sub-environment \(3\)"):
        many.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="render_mode must be 'rgb_array' or None, got 'human'"):
        One("human")
    with pytest.raises(ValueError, match="Never"):
        Many(1, "Never")


def test_instances_do_not_share_metadata() -> None:
    Many(1, "SameStep")
    assert Many(1).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert "autoreset_mode" not in gymnasium.Env.metadata
