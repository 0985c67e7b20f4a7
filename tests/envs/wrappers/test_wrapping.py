"""Wrappers from plain data."""

from __future__ import annotations

import inspect
import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from mmrl_envs.wrappers.camera import CameraObservation
from mmrl_envs.wrappers.split import SplitObservation
from mmrl_envs.wrappers.stack import StackFrames
from mmrl_envs.wrappers.wrapping import WRAPPERS, check_wrappers, wrap

SPLIT = {"name": "split", "slices": {"cart": [0, 2], "pole": [2, 4]}}
TIME, RESIZE = "gymnasium.wrappers:TimeLimit", "gymnasium.wrappers:ResizeObservation"


def cart(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1", **kwargs)


def test_the_first_is_innermost() -> None:
    specs = [{"name": "camera", "size": 16, "source": "render"}, {"name": "stack", "frames": 2}]
    pendulum = gymnasium.make("mmrl/MultimodalPendulum-v0", render_mode="rgb_array")
    env = wrap(pendulum, specs)
    assert isinstance(env, StackFrames)
    assert isinstance(env.env, CameraObservation)
    observation, _ = env.reset(seed=0)
    assert observation["camera"].shape == (6, 16, 16)
    assert env.observation_space.contains(observation)


def test_cameras_name_their_channels() -> None:
    specs = [{"name": "camera", "size": 16}, {"name": "camera", "channel": "front", "size": 24}]
    pendulum = gymnasium.make("mmrl/MultimodalPendulum-v0", render_mode="rgb_array")
    observation, _ = wrap(pendulum, specs).reset(seed=0)
    assert observation["camera"].shape == (3, 16, 16)
    assert observation["front"].shape == (3, 24, 24)


def test_it_does_what_the_wrapper_does() -> None:
    expected, _ = SplitObservation(cart(), {"cart": [0, 2], "pole": [2, 4]}).reset(seed=3)
    observation, _ = wrap(cart(), [SPLIT]).reset(seed=3)
    for name, values in expected.items():
        np.testing.assert_array_equal(observation[name], values)


def test_any_wrapper_can_be_named() -> None:
    env = wrap(cart(), [{"name": TIME, "max_episode_steps": 2}, SPLIT])
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(2)] == [False, True]


def test_nothing_leaves_the_environment_as_it_is() -> None:
    env = cart()
    assert wrap(env, []) is env


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_take_it(mode: str) -> None:
    made = pickle.loads(pickle.dumps(partial(wrap, wrappers=[SPLIT])))  # noqa: S301  (our own)
    envs = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode=mode, wrappers=[made])
    observation, _ = envs.reset(seed=0)
    assert {name: values.shape for name, values in observation.items()} == {
        "cart": (2, 2),
        "pole": (2, 2),
    }
    envs.close()


def test_every_name_is_of_a_wrapper_that_can_be_rebuilt() -> None:
    for wrapper in WRAPPERS.values():
        assert issubclass(wrapper, gymnasium.utils.RecordConstructorArgs)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (
            [{"name": "spilt"}],
            r"wrappers\[0\] needs the name .* one of \['bound_actions', 'camera', .*'spilt'",
        ),
        ([{"slices": {}}], r"wrappers\[0\] needs the name of a wrapper"),
        ([SPLIT, {"name": "stack", "frame": 2}], r"wrappers\[1\] \(stack\) has no .*\['frame'\]"),
        (
            [{"name": "camera", "env": 1}],
            r"\(camera\) has no arguments \['env'\]; known: \['channel'",
        ),
        ([{**SPLIT, "channel": "a"}], r"\(split\) has no arguments \['channel'\]; known: \['sl"),
        ([{"name": "mujoco_sensors"}], r"\(mujoco_sensors\) needs \['channels'\]"),
        ([{"name": "nowhere:Wrapper"}], r"wrappers\[0\] cannot be imported: No module .*nowhere"),
        ([{"name": "gymnasium.wrappers:Nothing"}], r"cannot be imported: .*no attribute 'Nothing'"),
        ([{"name": "math:pi"}], r"wrappers\[0\]: math:pi is no gymnasium.Wrapper but 3\.14"),
        ([{"name": TIME, "limit": 3}], r"TimeLimit\) has no arguments \['limit'\]; known: \['max_"),
        ([{"name": TIME}], r"\(gymnasium.wrappers:TimeLimit\) needs \['max_episode_steps'\]"),
    ],
)
def test_what_is_wrong_without_an_environment(specs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_wrappers(specs)


@pytest.mark.usefixtures("unenforced")
def test_what_is_no_mapping() -> None:
    specs: Any = ["split"]
    with pytest.raises(TypeError, match=r"wrappers\[0\] must be a mapping .* got 'split'"):
        check_wrappers(specs)


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize(
    ("specs", "kind", "message"),
    [
        ([{"name": "split", "slices": {"a": 3}}], ValueError, r"slice 'a' must be \[start, .* 3"),
        ([{"name": "split", "slices": [0, 4]}], TypeError, r"slices must map .* got \[0, 4\]"),
        ([SPLIT, {"name": "stack", "frames": {"arm": 2}}], ValueError, r"wrappers\[1\] .*'arm'"),
        ([{"name": "split", "slices": {"a": [0, 3], "b": [2, 4]}}], ValueError, "overlap in entry"),
        ([{"name": "split", "slices": {"a": [0, 9]}}], ValueError, "stop of slice 'a' must be"),
        ([{"name": "split"}], ValueError, r"\(split\): no preset for CartPoleEnv"),
        ([{"name": "flatten"}], TypeError, r"\(flatten\): FlattenDict needs a Dict or"),
        ([{"name": RESIZE, "shape": [9, 9]}], ValueError, r"\(gymnasium.wrappers:Resize"),
        ([{"name": "camera"}], ValueError, r"\(camera\): .*render mode 'rgb_array', got None"),
        ([{"name": "camera", "source": "mujoco"}], TypeError, "holds a MuJoCo `model`"),
    ],
)
def test_what_does_not_fit_the_environment(specs: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        wrap(cart(), specs)


def test_the_template_explains_every_wrapper_and_argument() -> None:
    text = (Path(__file__).parents[3] / "configs" / "env" / "template.yaml").read_text("utf-8")
    for name, wrapper in WRAPPERS.items():
        explained = re.search(rf"(?sm)^#   {name}: .*?(?=^#   \w+: |^\w)", text)
        assert explained is not None, name
        for argument in list(inspect.signature(wrapper).parameters)[1:]:
            key = "channel" if argument == "name" else argument
            assert f"#       {key}: " in explained[0], (name, key)
