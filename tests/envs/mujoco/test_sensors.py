"""Sensors of a MuJoCo model as channels."""

import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from mmrl_envs.mujoco.sensors import MujocoSensors
from mmrl_envs.wrappers.split import SplitObservation

SITES = '<site name="imu"/><site name="down" pos="0 0 -.1" euler="180 0 0"/>'
SOLE = '<site name="sole" type="sphere" size=".3"/>'
SENSORS = """
  <sensor>
    <accelerometer name="acceleration" site="imu"/>
    <gyro name="rotation" site="imu"/>
    <rangefinder name="height" site="down"/>
    <touch name="sole" site="sole"/>
    <jointpos name="back foot" joint="bfoot"/>
    <jointpos name="front foot" joint="ffoot"/>
  </sensor>
"""
NAMES = r"\['acceleration', 'rotation', 'height', 'sole', 'back foot', 'front foot'\]"


@pytest.fixture
def cheetah(tmp_path: Path) -> gymnasium.Env[Any, Any]:
    """HalfCheetah with sensors."""
    pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    import gymnasium.envs.mujoco as robots

    xml = (Path(str(robots.__file__)).parent / "assets" / "half_cheetah.xml").read_text()
    assert xml.count("<camera") == xml.count("</mujoco>") == 1
    xml = xml.replace("<camera", f"{SITES}<camera").replace("</mujoco>", f"{SENSORS}</mujoco>")
    xml = re.sub(r'(<body name="ffoot"[^>]*>)', rf"\1{SOLE}", xml)
    path = tmp_path / "cheetah.xml"
    path.write_text(xml)
    return gymnasium.make("HalfCheetah-v5", xml_file=str(path))


def test_channels_are_the_sensors_of_that_name(cheetah: Any) -> None:
    channels = {"imu": ["acceleration", "rotation"], "feet": "*foot", "height": "height"}
    env = MujocoSensors(cheetah, channels)
    env.reset(seed=0)
    for _ in range(5):
        observation, *_ = env.step(np.full(6, 0.5, np.float32))
    assert list(observation) == ["feet", "height", "imu", "state"]
    assert env.observation_space.contains(observation)
    bare: Any = env.unwrapped
    data = bare.data
    imu = [data.sensor("acceleration").data, data.sensor("rotation").data]
    np.testing.assert_array_equal(observation["imu"], np.concatenate(imu).astype(np.float32))
    feet = [data.sensor("back foot").data[0], data.sensor("front foot").data[0]]
    np.testing.assert_array_equal(observation["feet"], np.array(feet, np.float32))
    assert 0.2 < observation["height"][0] < 0.8


def test_values_are_fresh_after_reset_and_are_copies(cheetah: Any) -> None:
    env = MujocoSensors(cheetah, {"feet": "*foot"})
    first, _ = env.reset(seed=0)
    bare: Any = env.unwrapped
    angles = [bare.data.joint(name).qpos[0] for name in ("bfoot", "ffoot")]
    np.testing.assert_array_equal(first["feet"], np.array(angles, np.float32))
    before = first["feet"].copy()
    env.step(np.ones(6, np.float32))
    np.testing.assert_array_equal(first["feet"], before)


def test_touch_feels_the_ground(cheetah: Any) -> None:
    env = MujocoSensors(cheetah, {"touch": "sole"})
    env.reset(seed=0)
    forces = [env.step(np.zeros(6, np.float32))[0]["touch"][0] for _ in range(60)]
    weight = float(env.get_wrapper_attr("model").body_mass.sum()) * 9.81
    assert min(forces) == 0.0  # it starts in the air
    assert 0.1 * weight < np.mean(forces[30:]) < weight  # and comes to stand on two feet


def test_it_adds_to_a_dict(cheetah: Any) -> None:
    env = MujocoSensors(SplitObservation(cheetah), {"imu": ["acceleration", "rotation"]})
    observation, _ = env.reset(seed=0)
    assert list(observation) == ["imu", "position", "velocity"]


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"imu": "gyro"}, rf"no sensor 'gyro': the model has {NAMES}"),
        ({"touch": ["sole", "finger*"]}, rf"no sensor 'finger\*': the model has {NAMES}"),
        ({"feet": ["front foot", "*foot"]}, r"names a sensor of .* twice in one channel"),
        ({"state": "sole"}, "a channel 'state' exists already"),
        ({"available": "sole"}, "'available' cannot name a channel"),
        ({}, rf"no channels: the model has the sensors {NAMES}"),
    ],
)
def test_wrong_channels_are_refused(cheetah: Any, channels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MujocoSensors(cheetah, channels)


def test_other_environments_are_refused() -> None:
    pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    with pytest.raises(TypeError, match=r"MujocoSensors needs .* MuJoCo .*got CartPoleEnv"):
        MujocoSensors(gymnasium.make("CartPole-v1"), {"imu": "gyro"})


def test_mujoco_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(DependencyNotInstalled, match=r"pip install 'mmrl\[mujoco\]'"):
        MujocoSensors(gymnasium.make("CartPole-v1"), {"imu": "gyro"})
