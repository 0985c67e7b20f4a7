"""Frames that were taken while a sensor was down are not handed over afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mmrl_envs
from mmrl_envs import DeclareStacked, SensorDropout, StackFrames, VectorSensorDropout
from mmrl_envs.wrappers.stacked import Stacked, fill_gaps

OUT = {"pattern": "intervals", "intervals": [[2, 4]], "channels": ["a"]}
HALF = [{"pattern": "bernoulli", "rate": 0.5}]


class Counter(gymnasium.Env[Any, Any]):
    """Both sensors tell the time, from 1; the camera has its channels last."""

    observation_space = spaces.Dict(
        {
            "a": spaces.Box(0, 99, (1,), np.float32),
            "cam": spaces.Box(0, 255, (8, 8, 3), np.uint8),
        }
    )
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 300) -> None:
        self.length = length

    def observe(self) -> dict[str, Any]:
        image = np.full((8, 8, 3), self.time, np.uint8)
        return {"a": np.array([self.time], np.float32), "cam": image}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 1
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self.observe(), 0.0, False, self.time > self.length, {}


def told(env: Any, steps: int) -> list[tuple[list[float], int]]:
    """The frames of `a` and whether it is available, at every observation."""
    seen = [env.reset(seed=0)[0], *(env.step(0)[0] for _ in range(steps))]
    return [(o["a"].ravel().tolist(), int(o["available"][0])) for o in seen]


def test_frames_of_an_outage_do_not_arrive() -> None:
    env = SensorDropout(StackFrames(Counter(), {"a": 3}), [OUT])
    assert told(env, 7) == [
        ([1, 1, 1], 1),
        ([1, 1, 2], 1),
        ([0, 0, 0], 0),
        ([0, 0, 0], 0),
        ([5, 5, 5], 1),
        ([5, 5, 6], 1),
        ([5, 6, 7], 1),
        ([6, 7, 8], 1),
    ]


def test_a_gap_is_filled_by_what_was_before_it() -> None:
    short = {**OUT, "intervals": [[2, 3]]}
    env = SensorDropout(StackFrames(Counter(), {"a": 3}), [short])
    assert [frames for frames, up in told(env, 5) if up] == [
        [1, 1, 1],
        [1, 1, 2],
        [2, 2, 4],
        [4, 4, 5],
        [4, 5, 6],
    ]


def test_a_sensor_that_remembers_delivers_them_when_the_outage_is_over() -> None:
    env = SensorDropout(StackFrames(Counter(), {"a": 3}, kept_by="sensor"), [OUT])
    assert told(env, 5)[4] == ([3, 4, 5], 1)


def test_a_fault_that_nobody_tells_stays_in_the_stack() -> None:
    lie = {**OUT, "mechanism": "freeze"}
    env = SensorDropout(StackFrames(Counter(), {"a": 3}), [lie])
    assert [frames for frames, _ in told(env, 6)] == [
        [1, 1, 1],
        [1, 1, 2],
        [1, 2, 2],
        [2, 2, 2],
        [2, 2, 5],
        [2, 5, 6],
        [5, 6, 7],
    ]


def test_the_pendulum_keeps_its_frames_unless_they_are_declared() -> None:
    """At 50 %, 76 of 76 images after an outage held a frame that was taken during it."""
    plain = gymnasium.make("mmrl/MultimodalPendulum-v0")
    true = gymnasium.make("mmrl/MultimodalPendulum-v0")
    declared = DeclareStacked(plain, {"image": 2, "sound": 2})
    failing = SensorDropout(declared, HALF, keep_at_least=0)
    observation, _ = failing.reset(seed=3)
    true.reset(seed=3)
    before, after = True, 0
    for _ in range(299):
        up_before = bool(observation["available"][0])
        torque = failing.action_space.sample()
        observation, *_ = failing.step(torque)
        healthy, *_ = true.step(torque)
        if observation["available"][0]:
            np.testing.assert_array_equal(observation["image"][1], healthy["image"][1])
            expected = healthy["image"][0 if up_before else 1]
            np.testing.assert_array_equal(observation["image"][0], expected)
            after += not up_before
        before = up_before
    assert after > 50
    assert isinstance(before, bool)


CHANNELS: dict[str, Callable[[], gymnasium.Env[Any, Any]]] = {
    "frames": lambda: StackFrames(Counter(6), {"a": 3}),
    "images": lambda: StackFrames(Counter(6), {"a": 2, "cam": 2}),
}


@pytest.mark.parametrize("make", CHANNELS.values(), ids=list(CHANNELS))
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_many_are_as_one(make: Any, mode: AutoresetMode) -> None:
    envs: Any = VectorSensorDropout(SyncVectorEnv([make] * 3, autoreset_mode=mode), HALF)
    single = [SensorDropout(make(), HALF) for _ in range(3)]
    seeds = mmrl_envs.seeding.sub_seeds(5, 3)
    many, _ = envs.reset(seed=5)
    one = [env.reset(seed=seed)[0] for env, seed in zip(single, seeds, strict=True)]
    for _ in range(16):
        for name, values in many.items():
            np.testing.assert_array_equal(values, np.stack([o[name] for o in one]))
        if mode is AutoresetMode.NEXT_STEP and single[0].unwrapped.time > 6:  # type: ignore[attr-defined]
            many = envs.step(np.zeros(3, np.int64))[0]
            one = [env.reset()[0] for env in single]
            continue
        many, *_, infos = envs.step(np.zeros(3, np.int64))
        ends = [env.step(0) for env in single]
        one = [end[0] for end in ends]
        if ends[0][3] and mode is AutoresetMode.SAME_STEP:
            for last, final in zip(one, infos["final_obs"], strict=True):
                for name, values in last.items():
                    np.testing.assert_array_equal(values, final[name])
            one = [env.reset()[0] for env in single]


@pytest.mark.parametrize("make", CHANNELS.values(), ids=list(CHANNELS))
def test_without_faults_it_is_what_the_environment_delivers(make: Any) -> None:
    failing, healthy = SensorDropout(make(), []), make()
    pairs = [(failing.reset(seed=1)[0], healthy.reset(seed=1)[0])]
    pairs += [(failing.step(0)[0], healthy.step(0)[0]) for _ in range(5)]
    for told, true in pairs:
        for name, values in true.items():
            np.testing.assert_array_equal(told[name], values)


def test_the_environments_own_gaps_do_not_stay_in_the_stack() -> None:
    class Flickering(Counter):
        def observe(self) -> dict[str, Any]:
            dark = self.time == 3
            return {**super().observe(), "a": None if dark else np.array([self.time], np.float32)}

    env = SensorDropout(StackFrames(Flickering(), {"a": 2}), [])
    assert told(env, 4) == [([1, 1], 1), ([1, 2], 1), ([0, 0], 0), ([4, 4], 1), ([4, 5], 1)]


def test_a_lie_of_nan_is_told_once() -> None:
    env = SensorDropout(StackFrames(Counter(), {"a": 2}), [{**OUT, "mechanism": "nan"}])
    frames = [frames for frames, _ in told(env, 5)]
    np.testing.assert_array_equal(frames[2], [2, np.nan])
    assert frames[4:] == [[5, 5], [5, 6]]


def test_stacks_split_and_join() -> None:
    rng = np.random.default_rng(0)
    for axis, shape in ((0, (6, 4)), (-1, (5, 6)), (0, (6,)), (-1, (2, 3, 6))):
        bounds = np.zeros(shape, np.float32), np.ones(shape, np.float32)
        space = Stacked(*bounds, np.float32, frames=3, axis=axis)
        values = rng.random((7, *shape), np.float32)
        frames = space.split(values)
        assert frames.shape[2:] == space.frame.shape
        np.testing.assert_array_equal(space.join(frames), values)
        parts = np.split(values, 3, axis=axis if axis < 0 else 1)
        np.testing.assert_array_equal(frames[:, 1], parts[1])


def test_gaps_are_filled_as_a_loop_would() -> None:
    rng = np.random.default_rng(1)
    frames, arrived = rng.random((200, 4)), rng.random((200, 4)) < 0.5
    filled = fill_gaps(frames, arrived)
    for row, there, got in zip(frames, arrived, filled, strict=True):
        for i in range(3):
            past = [row[j] for j in range(i + 1) if there[j]]
            later = [row[j] for j in range(4) if there[j]]
            assert got[i] == (past[-1] if past else later[0] if later else row[3])
        assert got[3] == row[3]


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ({"a": 2}, ValueError, r"first axis of 'a' does not hold 2 frames, it has shape \(1,\)"),
        ({"a": 1}, ValueError, "frames of 'a' must be at least 2, got 1"),
        ({"b": 2}, ValueError, r"no channels \['b'\]"),
    ],
)
def test_what_holds_no_frames_is_refused(
    frames: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DeclareStacked(Counter(), frames)
