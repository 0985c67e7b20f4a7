"""What training a policy leaves behind."""

import gc
import weakref
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hydra import compose, initialize_config_dir

from mmrl.control import envs, policy
from mmrl.control.config import EnvConfig, from_mapping
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.progress import Curve
from mmrl.settings import ConfigError
from mmrl_agents.build import build_agent


def test_the_replay_buffer_is_freed_when_the_policy_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["experiment=smoke", "method=none", "agent.total_timesteps=120", "device=cpu"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=overrides))
    plain.pop("resume")
    buffers: list[weakref.ref[Any]] = []

    def watched(*arguments: Any, **settings: Any) -> Any:
        model: Any = build_agent(*arguments, **settings)
        buffers.append(weakref.ref(model.replay_buffer))
        return model

    monkeypatch.setattr(policy, "build_agent", watched)
    (tmp_path / "scratch").mkdir()
    curve = Curve(tmp_path / "curve.csv", "timesteps")
    gc.disable()  # it would free the buffer by chance
    try:
        model, cost = policy.train_policy(
            from_mapping(plain), None, tmp_path, tmp_path / "scratch", curve, lambda _: None
        )
        assert buffers[0]() is None
    finally:
        gc.enable()
    assert cost.replay_megabytes > 1
    assert model.num_timesteps == 120


@pytest.fixture
def my_robots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers an environment whose module fails with the same error in a module of that name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def register(name: str, culprit: str) -> str:
        (tmp_path / f"{name}.py").write_text(
            f'exec("None.eglQueryString", {{"__name__": "{culprit}"}})', "utf-8"
        )
        gymnasium.register(f"{name}-v0", entry_point=f"{name}:Robot")
        return f"{name}-v0"

    yield register
    for name in [name for name in gymnasium.registry if name.startswith("MyRobot")]:
        del gymnasium.registry[name]


def test_a_missing_opengl_library_is_named(my_robots: Any) -> None:
    """MuJoCo fails like that while it is imported, if MUJOCO_GL is set."""
    config = EnvConfig(id=my_robots("MyRobotSeen", "OpenGL.raw.EGL"))
    with pytest.raises(ConfigError, match=r"cannot be made: MuJoCo has no OpenGL .*eglQuery"):
        envs.make_env(config)


def test_mistakes_of_an_environment_of_ones_own_stay_as_they_are(my_robots: Any) -> None:
    with pytest.raises(AttributeError, match=r"^'NoneType' object has no attribute 'eglQuery"):
        envs.make_env(EnvConfig(id=my_robots("MyRobotBroken", "my_robot")))
