"""What holds for every wrapper that makes an environment multimodal."""

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import mmrl_envs  # noqa: F401  (registers the ids)
from mmrl_envs.faults.sensor_dropout import SensorDropout
from mmrl_envs.mujoco.sensors import MujocoSensors
from mmrl_envs.wrappers.bound_actions import BoundActions
from mmrl_envs.wrappers.camera import CameraObservation
from mmrl_envs.wrappers.conform import Conform
from mmrl_envs.wrappers.flatten import FlattenDict
from mmrl_envs.wrappers.normalize import NormalizeChannels
from mmrl_envs.wrappers.one_hot import OneHotChannels
from mmrl_envs.wrappers.rename import RenameChannels
from mmrl_envs.wrappers.select import DropChannels, SelectChannels
from mmrl_envs.wrappers.split import SplitObservation
from mmrl_envs.wrappers.stack import StackFrames
from mmrl_envs.wrappers.stacked import DeclareStacked
from mmrl_envs.wrappers.wrapping import wrap

Env = gymnasium.Env[Any, Any]
FAULTS = [{"pattern": "bernoulli", "rate": 0.3, "channels": ["camera"], "mechanism": "blackout"}]


STACKED_FAULTS = [{"pattern": "bernoulli", "rate": 0.5, "channels": ["image"]}]


def pendulum() -> Env:
    return gymnasium.make("mmrl/MultimodalPendulum-v0", render_mode="rgb_array")


def cart() -> Env:
    parts: dict[str, Any] = {"cart": [0, 2], "pole": [[2, 3], [3, 4]]}
    return SplitObservation(gymnasium.make("CartPole-v1"), parts)


def robot() -> Env:
    pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    return SplitObservation(gymnasium.make("Hopper-v5"))


def seen_robot() -> Env:
    pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    env = CameraObservation(gymnasium.make("HalfCheetah-v5"), size=(40, 48), view={"body": "torso"})
    try:
        env.reset(seed=0)
    except gymnasium.error.DependencyNotInstalled as error:
        pytest.skip(f"needs OpenGL: {error}")
    return env


def everything() -> Env:
    env = SplitObservation(seen_robot(), source="state", slices={"a": [0, 8], "b": [8, 17]})
    stacked = StackFrames(NormalizeChannels(FlattenDict(env)), {"camera": 2, "a": 3})
    return SensorDropout(stacked, FAULTS)


def felt_robot(folder: Path) -> Env:
    pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    import gymnasium.envs.mujoco as robots

    xml = (Path(str(robots.__file__)).parent / "assets" / "inverted_pendulum.xml").read_text()
    sensors = '<jointpos joint="hinge" name="a"/><jointvel joint="hinge" name="b"/>'
    xml = xml.replace("</mujoco>", f"<sensor>{sensors}</sensor></mujoco>")
    (folder / "robot.xml").write_text(xml)
    env = gymnasium.make("InvertedPendulum-v5", xml_file=str(folder / "robot.xml"))
    return MujocoSensors(env, {"hinge": ["a", "b"]})


ENVIRONMENTS: dict[str, Callable[[Path], Env]] = {
    "split": lambda _: cart(),
    "split preset": lambda _: robot(),
    "camera of render()": lambda _: CameraObservation(pendulum(), size=36, grayscale=True),
    "camera of MuJoCo": lambda _: seen_robot(),
    "sensors": felt_robot,
    "stack": lambda _: StackFrames(pendulum(), 2),
    "stack of a sensor": lambda _: StackFrames(cart(), 3, kept_by="sensor"),
    "stacked": lambda _: SensorDropout(DeclareStacked(pendulum(), {"image": 2}), STACKED_FAULTS),
    "select": lambda _: SelectChannels(pendulum(), ["im*"]),
    "drop": lambda _: DropChannels(pendulum(), ["sound"]),
    "rename": lambda _: RenameChannels(cart(), {"cart": "wagon"}),
    "one hot": lambda _: OneHotChannels(gymnasium.make("FrozenLake-v1")),
    "conform": lambda _: Conform(pendulum()),
    "bound actions": lambda _: BoundActions(pendulum(), -1, 1),
    "any of Gymnasium": lambda _: wrap(
        cart(), [{"name": "gymnasium.wrappers:TimeLimit", "max_episode_steps": 9}]
    ),
    "normalize": lambda _: NormalizeChannels(cart(), clip=5.0),
    "flatten": lambda _: FlattenDict(cart()),
    "all, and failing": lambda _: everything(),
}


@pytest.fixture(params=list(ENVIRONMENTS.values()), ids=list(ENVIRONMENTS))
def env(request: Any, tmp_path: Path) -> Any:
    made = request.param(tmp_path)
    yield made
    made.close()


def rollout(env: Env, steps: int = 6) -> list[Any]:
    env.action_space.seed(0)
    record = [env.reset(seed=5)[0]]
    for _ in range(steps):
        observation, *_ = env.step(env.action_space.sample())
        record.append(observation)
    return record


def assert_same(left: list[Any], right: list[Any]) -> None:
    for one, other in zip(left, right, strict=True):
        assert list(one) == list(other)
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])


@pytest.mark.filterwarnings("ignore::UserWarning")  # both checkers say much about correct spaces
def test_passes_both_checkers(env: Env) -> None:
    check_env(env, skip_render_check=True)
    stable_baselines3.common.env_checker.check_env(env)


def test_observations_are_in_the_space(env: Env) -> None:
    assert all(env.observation_space.contains(observation) for observation in rollout(env))


def test_the_same_seed_gives_the_same_episode(env: Env) -> None:
    first = rollout(env)
    assert env.spec is not None
    if not env.spec.nondeterministic:  # running statistics remember the first episode
        assert_same(rollout(env), first)


def test_the_specification_rebuilds_it(env: Env) -> None:
    assert env.spec is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        specification = EnvSpec.from_json(json.dumps(json.loads(env.spec.to_json())))
        twin = gymnasium.make(specification)
    assert twin.observation_space == env.observation_space
    assert_same(rollout(twin), rollout(env))
    twin.close()


def test_a_copy_through_pickle_does_the_same(env: Env) -> None:
    twin = pickle.loads(pickle.dumps(env))  # noqa: S301  (our own)
    assert_same(rollout(twin), rollout(env))
    twin.close()


def test_it_runs_in_subprocesses(env: Env) -> None:
    assert env.spec is not None
    envs = gymnasium.vector.AsyncVectorEnv([env.spec.make] * 2, context="spawn")
    observation, _ = envs.reset(seed=5)
    alone, _ = env.reset(seed=5)
    for name, values in alone.items():
        np.testing.assert_array_equal(observation[name][0], values)
    envs.close()


class Awkward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Delivers what robots do: the same arrays again, of other types and strides, and gaps."""

    def __init__(self, env: Env, gap: Any) -> None:
        super().__init__(env)
        self.gap = gap
        self.step_number = 0
        self.buffers: dict[str, Any] = {}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        self.step_number = 0
        return self.told(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.step_number += 1
        return self.told(observation), reward, terminated, truncated, info

    def told(self, observation: Any) -> Any:
        for name, values in observation.items():
            wide = np.float64 if values.dtype.kind == "f" else np.int64
            buffer = self.buffers.setdefault(name, np.empty(values.shape, wide, order="F"))
            buffer[...] = values
        told = {name: np.flip(np.flip(buffer)) for name, buffer in self.buffers.items()}
        if self.step_number == 3:
            told["joints"] = self.gap
            if isinstance(self.gap, str):
                del told["joints"]
        return told


AROUND: dict[str, Callable[[Env], Env]] = {
    "conform": Conform,
    "flatten": FlattenDict,
    "select": lambda env: SelectChannels(env, ["*"]),
    "drop": lambda env: DropChannels(env, ["other"]),
    "rename": lambda env: RenameChannels(env, {"other": "another"}),
    "one hot": lambda env: OneHotChannels(env, ["mode"]),
    "split": lambda env: SplitObservation(env, {"a": [0, 1], "b": [1, 2]}, source="other"),
    "stack": lambda env: StackFrames(env, {"image": 2}),
    "normalize": lambda env: NormalizeChannels(env, ["other"]),
    "camera": lambda env: CameraObservation(env, size=8),
    "dropout": lambda env: SensorDropout(env, []),
}


class Robot(gymnasium.Env[Any, Any]):
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"
    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Dict(
        {
            "image": gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8),
            "joints": gymnasium.spaces.Box(-9, 9, (2,), np.float32),
            "mode": gymnasium.spaces.Discrete(5),
            "other": gymnasium.spaces.Box(-9, 9, (2,), np.float32),
        }
    )

    def observe(self) -> dict[str, Any]:
        number = np.float32(self.time)
        image = np.full((8, 8, 3), self.time, np.uint8)
        pair = np.array([number, -number])
        return {"image": image, "joints": pair, "mode": np.int64(self.time % 5), "other": pair + 1}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self.observe(), 0.0, False, False, {}

    def render(self) -> Any:
        return np.full((8, 8, 3), self.time, np.uint8)


@pytest.mark.parametrize(
    "gap", [None, "absent", np.nan, np.full(2, np.nan), [np.inf, 0.0]], ids=str
)
@pytest.mark.parametrize("around", AROUND.values(), ids=list(AROUND))
def test_it_takes_what_robots_deliver(around: Callable[[Env], Env], gap: Any) -> None:
    """What was handed out never changes, and a gap in a sensor of floats means missing."""
    if isinstance(gap, float):
        gap = [gap, gap]
    env, clean = around(Awkward(Robot(), gap)), around(Robot())
    seen, expected = rollout(env, 5), rollout(clean, 5)
    for step, (one, other) in enumerate(zip(seen, expected, strict=True)):
        assert list(one) == list(other)
        for name, values in one.items():
            if step == 3 and name == "joints":
                up = np.isfinite(values).all()
                assert not up or (one.get("available") is not None and not values.any())
            elif not (step == 3 and name == "available"):
                np.testing.assert_array_equal(values, other[name])
                assert np.asarray(values).dtype == np.asarray(other[name]).dtype
    if "available" in seen[3]:
        assert seen[3]["available"].tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("around", [v for k, v in AROUND.items() if k != "dropout"])
def test_a_sensor_of_integers_that_delivers_nothing_is_named(
    around: Callable[[Env], Env],
) -> None:
    class Dark(Robot):
        def observe(self) -> dict[str, Any]:
            return super().observe() | {"image": None}

    with pytest.raises(ValueError, match=r"sensor 'image' delivered nothing .*SensorDropout"):
        around(Dark()).reset(seed=0)
    observation, _ = SensorDropout(Dark(), []).reset(seed=0)
    assert observation["available"].tolist() == [0, 1, 1, 1]
