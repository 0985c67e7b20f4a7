from __future__ import annotations

from typing import Any

import pytest

from mmrl_agents.config import AgentConfig


@pytest.mark.parametrize(
    ("algorithm", "name", "value", "wanted"),
    [
        ("sac", "learning_rate", -1, "a number above 0"),
        ("sac", "learning_rate", 0, "a number above 0"),
        ("sac", "learning_rate", float("nan"), "a number above 0"),
        ("sac", "learning_rate", "fast", "a number above 0"),
        ("sac", "gamma", 2, "a number from 0 to 1"),
        ("sac", "tau", -0.1, "a number from 0 to 1"),
        ("sac", "batch_size", 0, "a whole number of at least 1"),
        ("sac", "batch_size", 2.5, "a whole number of at least 1"),
        ("sac", "buffer_size", -3, "a whole number of at least 1"),
        ("sac", "learning_starts", -1, "a whole number of at least 0"),
        ("sac", "gradient_steps", 0, "at least 1, or -1"),
        ("sac", "ent_coef", -1, "a number from 0"),
        ("ppo", "n_steps", True, "a whole number of at least 1"),
        ("ppo", "gae_lambda", 1.5, "a number from 0 to 1"),
        ("ppo", "clip_range", float("inf"), "a number above 0"),
        ("dqn", "exploration_fraction", 7, "a number from 0 to 1"),
    ],
)
def test_numbers_out_of_range_are_refused(
    algorithm: str, name: str, value: Any, wanted: str
) -> None:
    with pytest.raises(
        ValueError, match=rf"arguments\.{name} of {algorithm} must be {wanted}, got"
    ):
        AgentConfig(algorithm, arguments={name: value})


@pytest.mark.parametrize(
    "net_arch", [[-3], [0], 64, [8, "8"], {"pi": [8], "vf": [0]}, [[8]], "wide"]
)
def test_layers_without_width_are_refused(net_arch: Any) -> None:
    with pytest.raises(ValueError, match=r"net_arch must list widths of at least 1"):
        AgentConfig("ppo", policy_kwargs={"net_arch": net_arch})


def test_what_makes_sense_is_taken() -> None:
    AgentConfig("sac", arguments={"ent_coef": "auto_0.1", "gradient_steps": -1, "gamma": 1})
    AgentConfig(
        "ppo", arguments={"clip_range": 0.2}, policy_kwargs={"net_arch": {"pi": [], "vf": [4]}}
    )
    with pytest.raises(ValueError, match="normalize is for policies without an encoder"):
        AgentConfig("ppo", finetune=True, normalize=True)
