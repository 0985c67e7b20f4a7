from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

from mmrl.control.config import EnvConfig
from mmrl.control.envs import make_envs
from mmrl.control.seen import seen_env
from mmrl.data.sets import FILES
from mmrl.methods import METHODS
from mmrl.modality import Modality
from mmrl.settings import ConfigError, typed
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.belief.acting import BeliefPolicy, Believer
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.senses import Senses
from mmrl_agents.belief.sight import Sight, is_reading
from mmrl_agents.belief.teacher import Teacher
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
    sight = Sight(acting, tuple(space.spaces))
    encoder = acting.latents.encoder if sight.on_latents else None
    teacher = Teacher(acting.memory.policy)
    senses = Senses(space.spaces, encoder, sight.on_latents)
    network = new_network(Task(sight, teacher, senses), BeliefConfig(), 0)
    aided = BeliefPolicy(sight, Believer(network, teacher, senses))
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
