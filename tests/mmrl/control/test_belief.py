from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from rich.console import Console
from stable_baselines3 import SAC

from mmrl.control.check import check_environment
from mmrl.control.config import EnvConfig, from_mapping
from mmrl.control.envs import make_envs
from mmrl.control.seen import seen_env
from mmrl.control.task import train
from mmrl.data.sets import FILES
from mmrl.methods import METHODS
from mmrl.modality import Modality
from mmrl.runs.folder import RunFolder
from mmrl.settings import ConfigError, typed
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.belief.acting import BeliefPolicy
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.sight import is_reading
from mmrl_agents.belief.training import Task, new_network
from mmrl_agents.build import AgentConfig, build_policy

CONFIGS = Path(__file__).parents[3] / "configs" / "env"


def shipped(name: str) -> EnvConfig:
    text = (CONFIGS / f"{name}.yaml").read_text()
    plain = yaml.safe_load(text.replace("${shipped:avmnist}", str(FILES / "avmnist.npz")))
    return typed(EnvConfig, plain, "env")


def alone(config: EnvConfig, space: spaces.Dict, actions: spaces.Space[Any]) -> Any:
    """A policy that was never trained: on numbers where there are some, else on latents."""
    algorithm = "ppo"
    agent = AgentConfig(algorithm=algorithm, policy_kwargs={"net_arch": [16]})
    numbers = {name: s for name, s in space.spaces.items() if is_reading(s)}
    images = len(numbers) < len(space.spaces)
    if numbers and images and config.id != "mmrl/MultimodalPendulum-v0":
        return ObservationPolicy(build_policy(agent, spaces.Dict(numbers), actions))
    modalities = Modality.from_space(space, config.kinds, config.shared_scale)
    encoder = METHODS["gmc"](modalities)
    box = spaces.Box(-np.inf, np.inf, (encoder.latent_dim,), np.float32)
    return LatentPolicy(encoder, build_policy(agent, box, actions))


@pytest.mark.parametrize("name", sorted(p.stem for p in CONFIGS.glob("*.yaml")))
def test_in_every_environment_a_belief_costs_nothing_while_nothing_fails(name: str) -> None:
    if name in ("gymnasium", "template"):
        pytest.skip("names no environment")
    config = shipped(name)
    try:
        envs = make_envs(config, 2)
    except ConfigError as error:
        pytest.skip(str(error))
    space: Any = envs.single_observation_space
    torch.manual_seed(0)
    acting = alone(config, space, envs.single_action_space)
    task = Task.of(acting, space.spaces)
    aided = task.policy(new_network(task, BeliefConfig(), 0), "auto")
    observations, _ = envs.reset(seed=0)
    first = np.ones(2, np.bool_)
    for _ in range(5):
        actions = acting.act(observations, first)
        np.testing.assert_array_equal(aided.act(observations, first), actions)
        observations, _, terminated, truncated, _ = envs.step(actions)
        first = np.logical_or(terminated, truncated)
    envs.close()


def test_a_camera_that_the_policy_does_not_see_is_not_rendered() -> None:
    wrappers: list[dict[str, Any]] = [
        {"name": "split", "slices": {"cart": [0, 2], "pole": [2, 4]}},
        {"name": "camera", "source": "render", "size": 16},
        {"name": "stack", "frames": {"camera": 2, "pole": 2}},
    ]
    config = EnvConfig(id="CartPole-v1", kwargs={"render_mode": "rgb_array"}, wrappers=wrappers)
    try:
        lean = seen_env(config, ["pole"])
    except ConfigError as error:
        pytest.skip(str(error))
    assert [spec["name"] for spec in lean.wrappers] == ["split", "stack", "select"]
    assert lean.wrappers[1]["frames"] == {"pole": 2}
    with pytest.raises(ConfigError, match=r"agent.sees names \['wheel'\]; the sensors of"):
        seen_env(config, ["wheel"])


def test_a_camera_that_makes_the_observation_a_dict_stays() -> None:
    wrappers = [{"name": "camera", "source": "render", "size": 16}]
    config = EnvConfig(id="CartPole-v1", kwargs={"render_mode": "rgb_array"}, wrappers=wrappers)
    try:
        lean = seen_env(config, ["state"])
    except ConfigError as error:
        pytest.skip(str(error))
    assert [spec["name"] for spec in lean.wrappers] == ["camera", "select"]


SPLIT: list[dict[str, Any]] = [{"name": "split", "slices": {"angle": [0, 2], "speed": [2, 3]}}]
SMALL = {
    "name": "gru",
    "total_timesteps": 160,
    "rounds": 2,
    "n_envs": 2,
    "updates": 4,
    "batch_size": 2,
    "window": 8,
    "hidden": 8,
}


def plain_run(outputs: Path, **agent: Any) -> dict[str, Any]:
    """Settings of a run without an encoder, whose belief reads numbers only."""
    settings = {"policy_kwargs": {"net_arch": [8]}, "total_timesteps": 80, **agent}
    return {
        "env": {"id": "Pendulum-v1", "wrappers": SPLIT},
        "agent": {"algorithm": "sac", "arguments": {"learning_starts": 40}, **settings},
        "collect": {},
        "fit": {},
        "faults": {},
        "evaluate": {"episodes": 2, "n_envs": 2, "rates": [0.5], "video": False, "probe": False},
        "sweep": {},
        "method": {"name": "none"},
        "belief": SMALL,
        "outputs": str(outputs),
    }


def run_of(content: dict[str, Any], path: Path) -> RunFolder:
    config = from_mapping(content)
    check_environment(config)
    run = RunFolder.create(path, content)
    train(config, run, Console(quiet=True))
    return run


def test_a_run_trains_policy_and_belief_and_acts_through_both(tmp_path: Path) -> None:
    content = plain_run(tmp_path, sees=["angle", "speed"], normalize=True)
    run = run_of(content, tmp_path / "run")
    assert list(run.stages) == ["train", "belief", "evaluate"]
    agent = Agent.load(run.path)
    assert isinstance(agent.acting, BeliefPolicy)
    assert agent.act({"angle": [1.0, 0.0]}).shape == (1,)
    facts = run.metrics()["belief"]
    assert facts["timesteps"] == 160
    assert {"loss/action", "loss/estimate", "fill_in/speed/without_speed"} <= set(facts)
    assert all(np.isfinite(value) for value in facts.values())


def test_a_policy_that_is_brought_gets_a_belief_in_one_run(tmp_path: Path) -> None:
    model = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, buffer_size=10)
    model.save(tmp_path / "my_sac.zip")
    run = run_of(plain_run(tmp_path, policy=str(tmp_path / "my_sac.zip")), tmp_path / "run")
    agent = Agent.load(run.path)
    flat = np.array([0.6, 0.8, -1.5], np.float32)
    expected, _ = model.predict(flat[None], deterministic=True)
    np.testing.assert_array_equal(agent.act({"angle": flat[:2], "speed": flat[2:]}), expected[0])
    assert agent.act({"angle": None, "speed": None}).shape == (1,)


def test_what_cannot_have_a_belief_is_refused_before_any_work(tmp_path: Path) -> None:
    content = plain_run(tmp_path, sees=["angle", "wheel"])
    with pytest.raises(ConfigError, match=r"agent.sees names \['wheel'\]"):
        check_environment(from_mapping(content))
    content = plain_run(tmp_path, policy=str(tmp_path / "no.zip"))
    with pytest.raises(ConfigError, match="there is no policy at"):
        check_environment(from_mapping(content))
    pytest.importorskip("sb3_contrib")
    content = plain_run(tmp_path, algorithm="recurrent_ppo", arguments={})
    with pytest.raises(ConfigError, match="a recurrent policy remembers on its own"):
        check_environment(from_mapping(content))


def test_with_a_belief_sensors_fail_for_it_and_not_for_the_policy(tmp_path: Path) -> None:
    content = plain_run(tmp_path, sees=["angle"])
    content["faults"] = {"models": [{"pattern": "bernoulli", "rate": 0.5, "channels": ["speed"]}]}
    config = from_mapping(content)
    assert not config.policy_meets_faults
    check_environment(config)  # the policy does not even see the sensor that fails
    content["belief"] = {"name": "none"}
    assert from_mapping(content).policy_meets_faults
    with pytest.raises(ConfigError, match=r"no channels \['speed'\]"):
        check_environment(from_mapping(content))
