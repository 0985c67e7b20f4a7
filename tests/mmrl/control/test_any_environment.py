"""Environments of all kinds go the whole way: actions, channels and wrappers by configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium import spaces
from hydra import compose, initialize_config_dir
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

import mmrl
from mmrl.control.check import check_environment
from mmrl.control.config import TrainConfig, from_mapping
from mmrl.control.envs import make_env, make_envs
from mmrl.control.policy import train_policy
from mmrl.control.task import train
from mmrl.data.missingness import make_rules
from mmrl.report.results import REALISED_RATE, read_results
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import Curve, make_console
from mmrl.runs.settings import to_stored
from mmrl.settings import ConfigError
from mmrl_agents.acting import ObservationPolicy
from mmrl_envs.faults import expected_rates, make_faults
from mmrl_envs.wrappers.channel_statistics import ChannelStatistics

TINY = [
    "device=cpu",
    "fit.accelerator=cpu",
    "fit.steps=3",
    "fit.batch_size=16",
    "collect.samples=48",
    "collect.test_samples=16",
    "collect.n_envs=4",
    "evaluate.episodes=2",
    "evaluate.n_envs=2",
    "evaluate.rates=[0.5]",
    "evaluate.probe_steps=5",
    "evaluate.video=false",
]
SMALL_AGENTS = {
    "dqn": [
        "agent.total_timesteps=120",
        "agent.arguments.learning_starts=32",
        "agent.arguments.buffer_size=120",
        "agent.arguments.batch_size=8",
    ],
    "ppo": [
        "agent.total_timesteps=64",
        "agent.arguments.n_steps=16",
        "agent.arguments.batch_size=16",
    ],
    "a2c": ["agent.total_timesteps=64"],
}


def config(*overrides: str) -> TrainConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=[*TINY, *overrides]))
    plain.pop("resume")
    return from_mapping(plain)


def run(folder: Path, *overrides: str) -> RunFolder:
    made = config(*overrides)
    check_environment(made)
    finished = RunFolder.create(folder, to_stored(made))
    train(made, finished, make_console())
    return finished


@pytest.mark.parametrize("agent", SMALL_AGENTS)
def test_discrete_actions_go_the_whole_way(agent: str, tmp_path: Path) -> None:
    game = ["env=hyperhot", "+env.kwargs.episode_length=20", "agent.n_envs=4"]
    game += ["+method.encoders={sound: {hidden: [8]}}", "evaluate.video=true"]
    made = run(tmp_path / "run", *game, f"agent={agent}", *SMALL_AGENTS[agent])
    assert list(made.stages) == ["collect", "pretrain", "train", "evaluate"]
    assert list(made.path.glob("sensors.*"))
    env = gym.make("mmrl/HyperHot-v0")
    observation, _ = env.reset(seed=0)
    acting = mmrl.load(made.path)
    first = acting.act({"sound": observation["sound"]})
    assert env.action_space.contains(first)
    env.step(first)


def test_an_algorithm_that_cannot_choose_the_actions_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"HyperHot-v0': sac cannot choose .* can: dqn, ppo"):
        check_environment(config("env=hyperhot"))


SPLIT = "{name: split, slices: {angle: [0, 2], speed: [2, 3]}}"
CAMERA = "{name: camera, size: 36, grayscale: true}"
FLAT = ["env=gymnasium", "env.id=Pendulum-v1", "+env.kwargs.max_episode_steps=20"]
SMALL_SAC = ["agent.n_envs=2", "agent.total_timesteps=120", "agent.arguments.learning_starts=40"]
SMALL_SAC += ["agent.arguments.batch_size=8", "agent.arguments.gradient_steps=1"]


def conditions_of(run: RunFolder) -> list[str]:
    results = read_results(run.path / "robustness.json")
    return list(dict.fromkeys(result.condition for result in results))


def wrapped(*specs: str) -> str:
    return f"env.wrappers=[{', '.join(specs)}]"


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_wrappers_make_an_environment_multimodal(processes: bool, tmp_path: Path) -> None:
    settings = [wrapped(SPLIT, "{name: stack, frames: {speed: 2}}"), f"env.processes={processes}"]
    made = run(tmp_path / "run", *FLAT, *settings, *SMALL_SAC, "collect.n_envs=2")
    conditions = conditions_of(made)
    assert conditions[:3] == ["angle+speed", "angle", "speed"]
    agent = mmrl.load(made.path)
    env = make_env(from_mapping(made.config).env)
    observation, _ = env.reset(seed=0)
    assert observation["speed"].shape == (2, 1)
    assert env.action_space.contains(agent.act({"angle": observation["angle"]}))


def test_one_environment_has_the_wrappers_of_many_and_is_rendered() -> None:
    pytest.importorskip("pygame", reason="draws Pendulum-v1")
    settings = config(*FLAT, wrapped(SPLIT.replace("}}", "}, source: state}"), CAMERA)).env
    settings = replace(settings, wrappers=settings.wrappers[::-1])
    settings = replace(settings, kwargs={**settings.kwargs, "render_mode": "rgb_array"})
    env = make_env(settings, render_mode="rgb_array")
    envs = make_envs(settings, 2)
    assert env.observation_space == envs.single_observation_space
    observation, _ = env.reset(seed=0)
    assert observation["camera"].shape == (1, 36, 36)
    assert isinstance(env.render(), np.ndarray)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (wrapped("{name: spilt}"), r"env: wrappers\[0\] needs the name of a wrapper"),
        (wrapped("{name: split, slice: {}}"), r"env: wrappers\[0\] \(split\) has no arguments"),
        (wrapped(SPLIT, "{name: normalize}"), r"env: the wrapper 'normalize' .* agent.normalize"),
        ("env.wrappers=[split]", r"env\.wrappers\[0\] must be a group of settings, got 'split'"),
    ],
)
def test_wrong_wrappers_are_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(*FLAT, override)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([SPLIT.replace("[2, 3]", "[1, 3]")], r"\(split\): slices 'angle' and 'speed' overlap"),
        ([SPLIT, "{name: stack, frames: {arm: 2}}"], r"wrappers\[1\] .*no channels \['arm'\]"),
        (["{name: camera}"], r"\(camera\): .* in render mode 'rgb_array', got None"),
        (["{name: camera, source: mujoco}"], r"MuJoCo"),
        ([], r"expected a Dict observation space"),
        ([SPLIT, "{name: normalize, update: false, statistics: x.npz}"], "no statistics .* x.npz"),
    ],
)
def test_wrappers_that_do_not_fit_are_refused_before_any_work(
    specs: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_environment(config(*FLAT, wrapped(*specs)))


def test_a_plain_policy_sees_normalized_channels_whose_statistics_are_saved(
    tmp_path: Path,
) -> None:
    settings = [*FLAT, wrapped(SPLIT), *SMALL_SAC, "method=none", "agent.normalize=true"]
    made = run(tmp_path / "run", *settings, "faults=bernoulli")
    statistics = ChannelStatistics.load(made.path / "channels.npz")
    # A start and an observation per frame, and those after the end of episodes.
    (frames,) = {int(n) for count in statistics.count.values() for n in np.ravel(count)}
    assert frames > 120
    assert np.abs(statistics.mean["speed"]).max() > 0.01
    agent = mmrl.load(made.path)
    assert isinstance(agent.acting, ObservationPolicy)
    assert agent.acting.statistics is not None
    agent.act({"angle": np.array([1.0, 0.0]), "speed": np.array([3.0])})
    (made.path / "channels.npz").unlink()
    with pytest.raises(ValueError, match="needs statistics of its channels: no statistics"):
        mmrl.load(made.path)


def test_running_statistics_survive_a_kill(tmp_path: Path) -> None:
    settings = [*FLAT, wrapped(SPLIT), "agent=a2c", "agent.total_timesteps=1200", "agent.n_envs=2"]
    made = config(*settings, "method=none", "agent.normalize=true")
    killed = RunFolder.create(tmp_path / "run", to_stored(made))

    class Kill(Curve):
        def add(self, row: Mapping[str, float]) -> None:
            if row["timesteps"] > 900:
                raise KeyboardInterrupt

    scratch = killed.scratch("train")
    scratch.mkdir()
    curve = Kill(scratch / "training.csv", "timesteps")
    with pytest.raises(KeyboardInterrupt):
        train_policy(made, None, killed.path, scratch, curve, lambda _: None)
    kept = ChannelStatistics.load(scratch / "channels.npz").count["angle"].min()
    assert 500 <= kept < 900
    train(made, killed, make_console())
    seen = ChannelStatistics.load(killed.path / "channels.npz").count["angle"].min()
    assert kept + 300 < seen < 1400


ROBOTS = {
    "halfcheetah": ("mujoco", ["camera", "position", "velocity"]),
    "ant": ("mujoco", ["camera", "contact_force", "position", "velocity"]),
    "fetch_reach": (
        "gymnasium_robotics",
        ["achieved_goal", "camera", "desired_goal", "observation"],
    ),
}


@pytest.mark.parametrize("name", ROBOTS)
@pytest.mark.filterwarnings("ignore")  # of the libraries below
def test_robots_come_with_channels(name: str) -> None:
    library, channels = ROBOTS[name]
    pytest.importorskip(library, reason="needs mmrl[robotics]")
    settings = config(f"env={name}", "agent=ppo")
    try:
        check_environment(settings)
    except ConfigError as error:
        pytest.skip(f"needs OpenGL: {error}") if "OpenGL" in str(error) else None
        raise
    assert list(make_envs(settings.env, 1).single_observation_space) == channels  # type: ignore[call-overload]


def test_a_run_measures_conditions_of_its_own(tmp_path: Path) -> None:
    outages = "{name: outages, faults: [{pattern: burst, outage: 4, uptime: 8, channels: [speed]}]}"
    settings = [*FLAT, wrapped(SPLIT), *SMALL_SAC, "evaluate.rates=[]"]
    made = run(tmp_path / "run", *settings, f"evaluate.conditions=[{outages}]")
    assert conditions_of(made) == ["angle+speed", "angle", "speed", "outages"]
    last = read_results(made.path / "robustness.json")[-1]
    assert last.metric == REALISED_RATE
    assert 0 < last.mean < 0.5
    assert from_mapping(yaml.safe_load((made.path / "config.yaml").read_text())).evaluate.conditions


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("{faults: []}", r"evaluate\.conditions\[0\] needs name"),
        ("{name: x, faults: [{pattern: fixd}]}", r"evaluate\.conditions\[0\]: pattern must be one"),
    ],
)
def test_wrong_conditions_are_refused_before_any_work(condition: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_environment(config(f"evaluate.conditions=[{condition}]"))


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            "{smell: {noise: 0.1}}",
            r"augment names \['smell'\]; the modalities are \['image', 'sound'",
        ),
        ("{sound: {rotate: 10}}", r"augment\.sound: rotate does not fit .* kind vector"),
    ],
)
def test_wrong_variations_are_refused_before_any_work(augment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_environment(config(f"+fit.augment={augment}"))


def scalars(folder: Path) -> dict[str, list[float]]:
    """All values in TensorBoard's files below a folder, by name."""
    found: dict[str, list[float]] = {}
    for path in folder.rglob("events.*"):
        events = EventAccumulator(str(path)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend(event.value for event in events.Scalars(tag))
    return found


def test_realised_rates_of_faults_are_shown(tmp_path: Path) -> None:
    settings = [*FLAT, wrapped(SPLIT), "agent=ppo", "agent.total_timesteps=320", "agent.n_envs=4"]
    settings += ["agent.arguments.n_steps=40", "agent.arguments.batch_size=32"]
    faults = "faults.models=[{pattern: bernoulli, rate: 0.4, channels: [speed], mechanism: freeze}]"
    seen = scalars(run(tmp_path / "run", *settings, "method=none", faults).path / "tb")
    assert set(seen["faults/angle"]) == {0.0}
    assert 0.3 < np.mean(seen["faults/speed"]) < 0.5
    assert seen["missing/angle+speed"] == [0.0]
    assert seen["missing/angle"] == [0.5]
    assert 0.3 < seen["missing/bernoulli@0.5"][0] < 0.7


class Nested(gym.ObservationWrapper[Any, Any, Any]):
    """A goal beside nested readings, as robots of gymnasium-robotics have them."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        arm = spaces.Dict({"joints": spaces.Box(-1, 1, (2,)), "speed": spaces.Box(-8, 8, (1,))})
        self.observation_space = spaces.Dict({"arm": arm, "goal": spaces.Box(-1, 1, (2,))})

    def observation(self, observation: Any) -> dict[str, Any]:
        arm = {"joints": observation[:2], "speed": observation[2:]}
        return {"arm": arm, "goal": np.array([1, 0], np.float32)}


gym.register(
    "NestedPendulum-v0",
    entry_point=lambda **kwargs: Nested(gym.make("Pendulum-v1", **kwargs)),
    max_episode_steps=20,
)


def test_nested_observations_are_flattened_or_refused(tmp_path: Path) -> None:
    nested = ["env=gymnasium", "env.id=NestedPendulum-v0", *SMALL_SAC]
    with pytest.raises(ConfigError, match=r"'arm' is a Dict space; .*name: flatten"):
        check_environment(config(*nested))
    made = run(tmp_path / "run", *nested, wrapped("{name: flatten}"), "faults=bernoulli")
    conditions = conditions_of(made)
    assert conditions[0] == "arm_joints+arm_speed+goal"


@pytest.mark.parametrize(
    "spec",
    [
        {"pattern": "fixed", "channels": ["sound"]},
        {"pattern": "bernoulli", "rate": 0.3, "channels": ["image"]},
    ],
)
def test_one_specification_serves_environments_and_data_sets(spec: dict[str, Any]) -> None:
    (fault,) = make_faults([spec])
    (rule,) = make_rules([fault.to_spec()])
    channels = ["image", "sound"]
    (name,) = fault.on(channels)
    assert rule.channels == (name,)
    assert (rule.rate or 1.0) == pytest.approx(expected_rates([fault], channels, 10)[name])
