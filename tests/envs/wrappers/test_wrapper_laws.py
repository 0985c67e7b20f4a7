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
from mmrl_envs.wrappers.camera import CameraObservation
from mmrl_envs.wrappers.flatten import FlattenDict
from mmrl_envs.wrappers.normalize import NormalizeChannels
from mmrl_envs.wrappers.split import SplitObservation
from mmrl_envs.wrappers.stack import StackFrames

Env = gymnasium.Env[Any, Any]
FAULTS = [{"pattern": "bernoulli", "rate": 0.3, "channels": ["camera"], "mechanism": "blackout"}]


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
