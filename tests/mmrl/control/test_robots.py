"""Environments as robots have them: what fails or is odd goes the whole way, or is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import mmrl
from mmrl.control.check import check_environment
from mmrl.control.config import EnvConfig
from mmrl.control.envs import make_env, make_envs
from mmrl.data.collect import collect
from mmrl.report.results import read_results
from mmrl.settings import ConfigError
from tests.mmrl.control.test_any_environment import SMALL_SAC, conditions_of, config, run

CAM, ENC = spaces.Box(0, 255, (24, 24), np.uint8), spaces.Box(-2, 2, (2,), np.float32)


class Point(gym.Env[Any, Any]):
    """A point on a line; what is odd about it is said by name."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, odd: str = "", render_mode: str | None = None, length: int = 12) -> None:
        self.odd, self.render_mode, self.length = odd, render_mode, length
        self.action_space: Any = spaces.Box(-1, 1, (1,), np.float32)
        if odd == "unbounded":
            self.action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        if odd == "start":
            self.action_space = spaces.Discrete(3, start=1)
        channels: dict[str, Any] = {"cam": CAM, "enc": ENC}
        if odd == "dotted":
            channels = {"observation.images.top": CAM, "observation.state": ENC}
        if odd == "room":
            channels |= {"room": spaces.Discrete(7)}
        if odd == "depth":
            channels["cam"] = spaces.Box(0, 65535, (24, 32), np.uint16)
        if odd == "many":
            channels = {f"s{i}": ENC for i in range(7)}
        self.observation_space: Any = spaces.Dict(channels)
        if odd == "tuple":
            self.observation_space = spaces.Tuple((CAM, ENC))
        self.buffer = {name: np.zeros(2, np.float32) for name in ("enc", "s")}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.time, self.x, self.v = 0, float(self.np_random.uniform(-1, 1)), 0.0
        return self.observe(), self.info()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Any]:
        assert self.action_space.contains(action)
        self.time += 1
        self.v = 0.8 * self.v + 0.1 * (float(np.ravel(action)[0]) - 2 * (self.odd == "start"))
        self.x = float(np.clip(self.x + self.v, -1.5, 1.5))
        reward: Any = np.array([-abs(self.x)]) if self.odd == "reward" else -abs(self.x)
        over = self.time == self.length and self.odd != "endless"
        return self.observe(), reward, False, over, self.info()

    def observe(self) -> Any:
        image = np.zeros((24, 32 if self.odd == "depth" else 24), np.uint8)
        place = int((self.x + 1.5) / 3 * 23)
        image[:, max(0, place - 2) : place + 3] = 200
        enc = np.array([self.x, self.v], np.float32)
        if self.odd == "gaps" and self.np_random.random() < 0.3:
            enc[:] = np.nan
        seen: dict[str, Any] = {"cam": image, "enc": enc}
        if self.odd == "room":
            seen["room"] = place % 7
        if self.odd == "depth":
            seen["cam"] = image.astype(np.uint16) * 200
        if self.odd == "many":
            seen = {f"s{i}": enc for i in range(7)}
        if self.odd == "reused":
            self.buffer["enc"][:] = self.time
            seen["enc"] = self.buffer["enc"]
        if self.odd == "unit":
            seen["cam"] = image / 255
        if self.odd in ("absent cam", "none enc") and self.time == 2:
            seen["cam" if "cam" in self.odd else "enc"] = None
        if (self.odd == "absent enc" and self.time == 2) or (self.odd == "broken" and self.time):
            del seen["enc"]
        if self.odd == "dotted":
            return {"observation.images.top": image, "observation.state": enc}
        return (image, enc) if self.odd == "tuple" else seen

    def info(self) -> Any:
        if self.odd == "info":
            return {"state": "moving" if self.v else {"x": self.x}, "hits": [1] * self.time, 3: 4}
        if self.odd == "state":
            return {"state": [self.x, np.nan if self.time % 2 else self.v]}
        if self.odd == "no info":
            return None
        return {}

    def render(self) -> Any:
        return np.zeros((16, 16, 3), np.uint8)


gym.register("Point-v0", entry_point=cast(Any, Point))


def point(odd: str, *more: str) -> list[str]:
    sac = [] if "agent=ppo" in more else SMALL_SAC
    return ["env=gymnasium", "env.id=Point-v0", f"+env.kwargs.odd={odd}", *sac, *more]


WRAPPED: dict[str, str] = {
    "dotted": "env.wrappers=[{name: rename}]",
    "room": "env.wrappers=[{name: one_hot}, {name: drop, channels: [cam]}]",
    "tuple": "env.wrappers=[{name: flatten}]",
    "unbounded": "env.wrappers=[{name: bound_actions, low: -1, high: 1}]",
}
PPO = ["agent=ppo", "agent.total_timesteps=64", "agent.n_envs=2"]
PPO += ["agent.arguments.n_steps=16", "agent.arguments.batch_size=16"]


ODD = ["gaps", "none enc", "absent enc", "reward", "info", "state", "reused", *WRAPPED]


@pytest.mark.parametrize(
    "odd",
    [odd if odd in ("gaps", "info") else pytest.param(odd, marks=pytest.mark.slow) for odd in ODD],
)
def test_it_goes_the_whole_way(odd: str, tmp_path: Path) -> None:
    more = [WRAPPED[odd]] if odd in WRAPPED else []
    more += ["evaluate.video=true"] if odd == "info" else []
    made = run(tmp_path / "run", *point(odd, "fit.batch_size=8", *more))
    assert list(made.stages) == ["collect", "pretrain", "train", "evaluate"]
    agent = mmrl.load(made.path)
    env = make_env(config(*point(odd, *more)).env)
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        action = agent.act(observation)
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)


def test_what_is_missing_is_counted_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(tmp_path / "run", *point("gaps", "fit.batch_size=8", "collect.samples=200"))
    said = " ".join(capsys.readouterr().out.split())
    share = made.metrics()["collect"]["missing/enc"]
    assert 0.2 < share < 0.4
    lacking = round(200 * share)
    assert f"note: of 200 samples {lacking} lack a sensor (missing: enc in {share:.1%})" in said
    assert f"gmc learns from the {200 - lacking} complete ones" in said


def test_a_plain_policy_never_sees_nan(tmp_path: Path) -> None:
    made = run(tmp_path / "run", *point("gaps", "method=none"))
    results = read_results(made.path / "robustness.json")
    assert all(np.isfinite(result.values).all() for result in results)


def test_too_few_complete_samples_are_refused_before_training(tmp_path: Path) -> None:
    few = point("broken", "collect.restart_every=8", "fit.batch_size=16")
    with pytest.raises(ConfigError, match=r"gmc learns from complete samples, of which there"):
        run(tmp_path / "run", *few)
    stages = tmp_path / "run" / "stages.json"
    assert not stages.exists() or "collect" not in json.loads(stages.read_text())


def test_choices_from_one_reach_the_robot(tmp_path: Path) -> None:
    made = run(tmp_path / "run", *point("start", *PPO))
    agent = mmrl.load(made.path)
    assert agent.action_space == spaces.Discrete(3, start=1)
    assert agent.act({"enc": [0, 0]}) in (1, 2, 3)


def test_the_end_of_an_episode_is_not_the_next_ones_beginning() -> None:
    envs = make_envs(EnvConfig("Point-v0", {"odd": "reused", "length": 7}), 2)
    envs.reset(seed=0)
    for _ in range(7):
        observations, *_, infos = envs.step(envs.action_space.sample())
    assert [final["enc"][0] for final in infos["final_obs"]] == [7, 7]
    assert observations["enc"][:, 0].tolist() == [0, 0]


def test_what_never_ends_is_cut_off_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "run", *point("endless", "method=none", "evaluate.max_steps=30"))
    said = " ".join(capsys.readouterr().out.split())
    assert "note: 8 of 8 episodes had not ended after 30 steps and were cut off" in said


def test_many_sensors_are_bounded_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(tmp_path / "run", *point("many", "method=none"))
    assert len(conditions_of(made)) == 1 + 7 + 7 + 1
    assert "127 subsets are possible" in " ".join(capsys.readouterr().out.split())
    made = run(tmp_path / "other", *point("many", "method=none", "evaluate.subsets=[s0+s1]"))
    assert conditions_of(made)[1:] == ["s0+s1", "bernoulli"]


def test_a_state_that_comes_and_goes_is_probed_where_it_is() -> None:
    envs = make_envs(EnvConfig("Point-v0", {"odd": "state"}), 2)
    data = collect(envs, 20, seed=0)
    assert data.target is not None
    assert data.target.shape == (20, 2)
    finite = np.isfinite(data.target).all(axis=1)
    assert finite.reshape(10, 2)[:4].tolist() == [[True] * 2, [False] * 2] * 2
    assert collect(make_envs(EnvConfig("Point-v0", {"odd": "info"}), 2), 20, seed=0).target is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (point("absent cam"), r"its first steps failed: sensor 'cam' delivered nothing"),
        (point("unit"), r"sensor 'cam' delivers uint8 .*255 \* image"),
        (point("no info"), r"info must be a dict, got None"),
        (point("unbounded"), r"no bounds.*\{name: bound_actions, low: -1, high: 1\} to env.wrap"),
        (point("dotted"), r"'observation.images.top' cannot name .*\{name: rename\}"),
        (point("room"), r"channel 'room' is a Discrete space.*\{name: one_hot\}"),
        (point("tuple"), r"expected a Dict .*\{name: flatten\}"),
        (point("", "evaluate.subsets=[lidar]"), r"subsets name \['lidar'\]"),
        (point("", "env.angles=[0]"), r"env.angles names column 0 .* which has 0 columns"),
        (point("state", "env.angles=[2]"), r"env.angles names column 2 .* which has 2 columns"),
        (
            point("", "fit.batch_size=64"),
            r"collect.samples=48 do not fill a batch",
        ),
        (point("", "method.head=[-3]"), r"method 'gmc'"),
        (point("", "+method.encoders={cam: {channels: [0]}}"), r"a layer has no width: "),
        (
            point("", "+method.encoders={cam: {channels: [8, 8, 8, 8, 8]}}"),
            r"modality 'cam': .*channels=\[32, 64, 64, 64\]",
        ),
        (point("", "agent.policy=CnnPolicy"), r"sac cannot be built like this: .*NatureCNN"),
        (point("", "method=late_fusion"), r"'late_fusion' learns from labels.*\['gmc'\]"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_environment(config(*settings))


def test_errors_of_an_environment_are_said_with_their_place() -> None:
    class Broken(Point):
        def observe(self) -> Any:
            readings: dict[str, float] = {}
            return readings["battery"]

    gym.register("Broken-v0", entry_point=cast(Any, Broken))
    with pytest.raises(ConfigError, match=r"KeyError: 'battery' \(test_robots.py, line"):
        check_environment(config("env=gymnasium", "env.id=Broken-v0"))
