from __future__ import annotations

from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import nn

from mmrl_agents.build import ALGORITHMS, ActionNoiseConfig, AgentConfig, build_agent, training_env
from mmrl_agents.config import DISCRETE, check_actions
from mmrl_agents.extractor import EncoderExtractor
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.paper.ddpg import PaperDDPGPolicy
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import TinyEncoder, TwoSensors, vectorized

SMALL = {
    "ddpg": {"buffer_size": 100, "learning_starts": 8, "batch_size": 4},
    "td3": {"buffer_size": 100, "learning_starts": 8, "batch_size": 4},
    "sac": {"buffer_size": 100, "learning_starts": 8, "batch_size": 4},
    "dqn": {"buffer_size": 100, "learning_starts": 8, "batch_size": 4},
    "ppo": {"n_steps": 8, "batch_size": 8, "n_epochs": 2},
    "a2c": {"n_steps": 4},
    "recurrent_ppo": {"n_steps": 8, "batch_size": 8, "n_epochs": 1},
}


def tiny_config(algorithm: str, **settings: object) -> AgentConfig:
    arguments = SMALL[algorithm]
    policy_kwargs: dict[str, object] = {"net_arch": [8, 8], "activation_fn": "tanh"}
    if algorithm == "recurrent_ppo":
        policy_kwargs["lstm_hidden_size"] = 8
    return AgentConfig(
        algorithm,
        **{"n_envs": 2, "arguments": arguments, "policy_kwargs": policy_kwargs} | settings,  # type: ignore[arg-type]
    )


def envs(**kwargs: object) -> VecEnv:
    return GymnasiumVecEnv(vectorized(partial(TwoSensors, **kwargs)))  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "recurrent_ppo"])
def test_every_algorithm_learns_on_latents(algorithm: str, encoder: TinyEncoder) -> None:
    config = tiny_config(algorithm)
    venv = envs(discrete=algorithm in DISCRETE)
    model = build_agent(config, training_env(config, venv, encoder), seed=0)
    before = model.policy.parameters_to_vector()
    model.learn(32)
    assert isinstance(model.observation_space, spaces.Box)
    assert not np.array_equal(before, model.policy.parameters_to_vector())
    assert len(model.ep_info_buffer or ()) > 0, "episodes are recorded"


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "recurrent_ppo"])
def test_discrete_actions_are_chosen_by_algorithms_of_both_kinds(
    algorithm: str, encoder: TinyEncoder
) -> None:
    config = tiny_config(algorithm)
    model = build_agent(config, training_env(config, envs(discrete=True), encoder), seed=0)
    model.learn(16)
    assert model.predict(np.zeros((5, 4), np.float32))[0].shape == (5,)


@pytest.mark.parametrize(("algorithm", "discrete"), [("sac", True), ("ddpg", True), ("dqn", False)])
def test_actions_of_the_wrong_kind_are_refused(
    algorithm: str, discrete: bool, encoder: TinyEncoder
) -> None:
    config = tiny_config(algorithm)
    venv = training_env(config, envs(discrete=discrete), encoder)
    with pytest.raises(ValueError, match=rf"{algorithm} cannot .* that can: .*ppo, a2c, rec"):
        build_agent(config, venv, seed=0)


def test_actions_that_no_algorithm_can_choose_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no algorithm can .* must be: Box, Discrete, MultiD"):
        check_actions("ppo", spaces.Text(4))


@pytest.mark.parametrize("algorithm", ["sac", "dqn", "ppo", "recurrent_ppo"])
def test_policies_on_observations(algorithm: str) -> None:
    config = tiny_config(algorithm)
    venv = training_env(config, envs(discrete=algorithm in DISCRETE))
    model = build_agent(config, venv, seed=0)
    model.learn(16)
    assert set(model.observation_space.spaces) == {"camera", "joints", "available"}  # type: ignore[attr-defined]


def test_settings_reach_the_algorithm(encoder: TinyEncoder) -> None:
    config = tiny_config(
        "sac",
        arguments={**SMALL["sac"], "gamma": 0.7, "train_freq": [2, "step"]},
        policy_kwargs={"net_arch": {"pi": [5], "qf": [6, 7]}, "activation_fn": "elu"},
    )
    model = build_agent(config, training_env(config, envs(), encoder), seed=0)
    assert model.gamma == 0.7  # type: ignore[attr-defined]
    assert model.train_freq.frequency == 2  # type: ignore[attr-defined]
    linear = [m.out_features for m in model.policy.actor.latent_pi if isinstance(m, nn.Linear)]  # type: ignore[union-attr]
    assert linear == [5]
    assert any(isinstance(module, nn.ELU) for module in model.policy.modules())


def test_the_seed_decides_weights_and_episodes(encoder: TinyEncoder) -> None:
    def trained(seed: int) -> np.ndarray:
        config = tiny_config("ddpg", action_noise=ActionNoiseConfig("normal"))
        model = build_agent(config, training_env(config, envs(), encoder), seed=seed)
        return model.learn(24).policy.parameters_to_vector()

    np.testing.assert_array_equal(trained(1), trained(1))
    assert not np.array_equal(trained(1), trained(2))


def test_the_learning_rate_falls_to_zero(encoder: TinyEncoder) -> None:
    config = tiny_config(
        "a2c",
        learning_rate_schedule="linear",
        decay_from=0.0,
        arguments={"n_steps": 4, "learning_rate": 0.2},
    )
    model = build_agent(config, training_env(config, envs(), encoder), seed=0)
    model.learn(32)
    assert model.lr_schedule(1.0) == pytest.approx(0.2)
    assert model.lr_schedule(0.5) == pytest.approx(0.1)
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


def test_the_learning_rate_may_stay_before_it_falls(encoder: TinyEncoder) -> None:
    config = tiny_config("ppo", learning_rate_schedule="linear", decay_from=0.5)
    model = build_agent(config, training_env(config, envs(), encoder), seed=0)
    rates = [model.lr_schedule(left) for left in (1.0, 0.5, 0.25, 0.0)]
    assert rates == pytest.approx([3e-4, 3e-4, 1.5e-4, 0.0])


def test_the_schedule_starts_at_the_default_of_the_algorithm(encoder: TinyEncoder) -> None:
    config = tiny_config("ppo", learning_rate_schedule="linear")
    model = build_agent(config, training_env(config, envs(), encoder), seed=0)
    assert model.lr_schedule(1.0) == pytest.approx(3e-4)


def test_xavier_initialisation_reaches_targets_and_spares_the_encoder(
    encoder_file: Path, encoder: TinyEncoder
) -> None:
    config = tiny_config("td3", initialization="xavier_uniform", finetune=True)
    venv = training_env(config, envs(), encoder)
    model = build_agent(config, venv, seed=0, checkpoint=encoder_file)
    critic, target = model.policy.critic, model.policy.critic_target
    assert isinstance(critic, ContinuousCritic)
    assert isinstance(target, ContinuousCritic)
    weight = next(critic.q_networks[0].parameters()).detach()
    bound = (6 / sum(weight.shape)) ** 0.5
    assert 0.8 * bound < float(weight.abs().max()) <= bound
    assert torch.equal(weight, next(target.q_networks[0].parameters()))
    extractor = critic.features_extractor
    assert isinstance(extractor, EncoderExtractor)
    for name, value in extractor.encoder.state_dict().items():
        assert torch.equal(value, encoder.state_dict()[name])


def test_xavier_initialisation_reaches_the_target_of_dqn(encoder: TinyEncoder) -> None:
    config = tiny_config("dqn", initialization="xavier_uniform")
    venv = training_env(config, envs(discrete=True), encoder)
    policy = build_agent(config, venv, seed=0).policy
    weight = policy.get_parameter("q_net.q_net.0.weight").detach()
    bound = (6 / sum(weight.shape)) ** 0.5
    assert 0.8 * bound < float(weight.abs().max()) <= bound
    assert torch.equal(weight, policy.get_parameter("q_net_target.q_net.0.weight"))


def test_noise_is_added_to_actions_after_the_warm_up(encoder: TinyEncoder) -> None:
    noise = ActionNoiseConfig("ornstein_uhlenbeck", sigma=0.5, final_sigma=0.0, decay_timesteps=16)
    config = tiny_config("ddpg", action_noise=noise)
    model = build_agent(config, training_env(config, envs(), encoder), seed=0)
    model.learn(16)
    assert model.action_noise.timesteps == 16  # type: ignore[union-attr]
    assert model.action_noise.sigma == pytest.approx(0.25)  # type: ignore[union-attr]


def test_the_paper_experiment(encoder: TinyEncoder) -> None:
    """Separate rates, unit actions, time limits as ends, a warm-up that a seed decides."""
    config = tiny_config(
        "ddpg",
        n_envs=1,
        policy="PaperDDPGPolicy",
        policy_kwargs={"net_arch": [8, 8], "critic_rate_factor": 10.0},
        arguments={**SMALL["ddpg"], "learning_rate": 1e-4},
        initialization="xavier_uniform",
        action_rule="paper",
        terminal_time_limit=True,
    )
    env = TwoSensors()
    model = build_agent(config, training_env(config, DummyVecEnv([lambda: env]), encoder), seed=0)
    model.learn(20)
    assert isinstance(model.policy, PaperDDPGPolicy)
    assert len(model.policy.critic.q_networks) == 1
    assert model.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    replay = model.replay_buffer  # type: ignore[attr-defined]
    assert max(map(abs, env.torques)) > 1
    np.testing.assert_allclose(2 * replay.actions[:8, 0, 0], env.torques[:8], rtol=1e-5)
    assert replay.dones[4, 0] == 1
    assert not replay.timeouts.any()


def test_a_time_limit_is_no_end_by_default(encoder: TinyEncoder) -> None:
    config = tiny_config("sac")
    model = build_agent(config, training_env(config, envs(), encoder), seed=0)
    model.learn(20)
    replay = model.replay_buffer  # type: ignore[attr-defined]
    assert replay.timeouts[4].all()
    samples = replay.sample(64)
    assert not samples.dones.any()


def test_frozen_latents_or_fine_tuning(encoder: TinyEncoder) -> None:
    assert isinstance(training_env(tiny_config("sac"), envs(), encoder), LatentVecEnv)
    fine = training_env(tiny_config("sac", finetune=True), envs(), encoder)
    assert isinstance(fine.observation_space, spaces.Dict)
    with pytest.raises(ValueError, match=r"needs 'available'.*SensorDropout"):
        training_env(tiny_config("sac", finetune=True), envs(with_mask=False), encoder)
    with pytest.raises(TypeError, match="Dict observation"):
        training_env(tiny_config("sac"), DummyVecEnv([lambda: gym.make("CartPole-v1")]), encoder)


def test_a_checkpoint_is_for_fine_tuning_only(encoder: TinyEncoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finetune=True with checkpoint=None"):
        build_agent(tiny_config("sac", finetune=True), envs(), seed=0)
    with pytest.raises(ValueError, match="finetune=False with checkpoint="):
        build_agent(tiny_config("sac"), envs(), seed=0, checkpoint=tmp_path)


def test_the_number_of_environments_must_be_that_of_the_settings() -> None:
    with pytest.raises(ValueError, match="2 environments, but n_envs=3"):
        build_agent(tiny_config("sac", n_envs=3), envs(), seed=0)
