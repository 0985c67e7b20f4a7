from __future__ import annotations

import sys
from dataclasses import asdict

import pytest
from stable_baselines3 import SAC

from mmrl_agents.config import ALGORITHMS, AgentConfig, policies
from mmrl_agents.noise import ActionNoiseConfig


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "recurrent_ppo"])
def test_every_algorithm_has_defaults(algorithm: str) -> None:
    config = AgentConfig(algorithm=algorithm)
    assert AgentConfig(**{**asdict(config), "action_noise": config.action_noise}) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"algorithm": "qdn"},
            "'qdn'; known: ddpg, td3, sac, dqn, ppo, a2c, recurrent_ppo",
        ),
        ({"total_timesteps": 0}, "total_timesteps must be at least 1, got 0"),
        ({"n_envs": 0}, "n_envs must be at least 1, got 0"),
        ({"policy": "MlpPolice"}, "policy is 'MlpPolice'; known: auto, MlpPolicy"),
        ({"policy": "PaperDDPGPolicy"}, "known: auto, MlpPolicy"),
        ({"arguments": {"gama": 0.9}}, "unknown argument of sac: gama; known: .*gamma"),
        ({"arguments": {"n_epochs": 3}}, "unknown argument of sac: n_epochs"),
        ({"arguments": {"seed": 3}}, "unknown argument of sac: seed"),
        ({"policy_kwargs": {"net_arc": [8]}}, "policy_kwargs of sac: net_arc; known: .*net_arch"),
        ({"policy_kwargs": {"activation_fn": "sin"}}, "'sin'; known: relu, tanh, elu"),
        ({"learning_rate_schedule": "cosine"}, "'cosine'; known: constant, linear"),
        ({"decay_from": 1.0}, "decay_from must be at least 0 and below 1, got 1.0"),
        ({"initialization": "zeros"}, "'zeros'; known: default, xavier_uniform"),
        ({"action_rule": "raw"}, "'raw'; known: scaled, paper"),
        (
            {"algorithm": "ppo", "action_noise": ActionNoiseConfig("normal")},
            "ppo .* takes no action noise",
        ),
        (
            {"algorithm": "dqn", "action_noise": ActionNoiseConfig("normal")},
            "dqn .* takes no action noise",
        ),
        (
            {"algorithm": "ddpg", "policy_kwargs": {"critic_rate_factor": 2.0}},
            "unknown argument of policy_kwargs of ddpg: critic_rate_factor",
        ),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AgentConfig(**settings)  # type: ignore[arg-type]


def test_arguments_of_the_paper_policy_are_known() -> None:
    kwargs = {
        "critic_rate_factor": 2.0,
        "n_critics": 1,
        "net_arch": [8, 8],
        "activation_fn": "relu",
    }
    AgentConfig(algorithm="ddpg", policy="PaperDDPGPolicy", policy_kwargs=kwargs)


def test_arguments_that_sac_shares_with_its_policy_belong_to_one_of_them() -> None:
    AgentConfig(arguments={"use_sde": True})
    with pytest.raises(ValueError, match="unknown argument of policy_kwargs of sac: use_sde"):
        AgentConfig(policy_kwargs={"use_sde": True})


def test_the_paper_policy_is_for_ddpg_and_td3() -> None:
    assert "PaperDDPGPolicy" in policies("ddpg")
    assert "PaperDDPGPolicy" in policies("td3")
    assert set(policies("sac")) == set(SAC.policy_aliases)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ImportError, match=r"pip install 'mmrl\[contrib\]'"):
        AgentConfig(algorithm="recurrent_ppo")
