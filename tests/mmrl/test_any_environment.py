"""Environments of all kinds go the whole way: actions, channels and wrappers by configuration."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pytest
from hydra import compose, initialize_config_dir

import mmrl
from mmrl.config import CONFIGS, ConfigError, TrainConfig, from_mapping, to_plain, to_stored
from mmrl.control import check_environment
from mmrl.progress import make_console
from mmrl.run_folder import RunFolder
from mmrl.train import train

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
        "agent.frames=120",
        "agent.arguments.learning_starts=32",
        "agent.arguments.buffer_size=120",
        "agent.arguments.batch_size=8",
    ],
    "ppo": ["agent.frames=64", "agent.arguments.n_steps=16", "agent.arguments.batch_size=16"],
    "a2c": ["agent.frames=64"],
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
    game += ["+method.trunks={sound: {hidden: [8]}}", "evaluate.video=true"]
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
