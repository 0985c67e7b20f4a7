"""An agent that cannot be built is refused before there is anything to train it in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from mmrl.methods import METHODS
from mmrl_agents.config import AgentConfig
from mmrl_agents.trial import SpacesOnly, check_agent
from tests.agents.tiny import TinyEncoder, TwoSensors

BOX = spaces.Box(-1, 1, (1,), np.float32)


def test_what_can_be_built_passes(encoder: TinyEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, TinyEncoder.name, TinyEncoder)
    space = TwoSensors().observation_space
    check_agent(AgentConfig("sac", n_envs=32), space, BOX, encoder)
    check_agent(AgentConfig("ppo", finetune=True), space, BOX, encoder)
    check_agent(AgentConfig("ppo"), space, spaces.Discrete(3, start=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "CnnPolicy"}, "sac cannot be built like this: .*NatureCNN"),
        ({"arguments": {"train_freq": "never"}}, "sac cannot be built like this"),
        ({"policy_kwargs": {"n_critics": -1}}, "sac cannot be built like this"),
        (
            {"arguments": {"buffer_size": 10**15}},
            "sac cannot be built like this: Unable to allocate",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:This system does not have apparently enough memory")
def test_what_cannot_is_said(settings: dict[str, Any], message: str, encoder: TinyEncoder) -> None:
    with pytest.raises(ValueError, match=message):
        check_agent(AgentConfig("sac", **settings), TwoSensors().observation_space, BOX, encoder)


def test_actions_are_asked_first() -> None:
    with pytest.raises(ValueError, match="sac cannot choose from the actions"):
        check_agent(AgentConfig("sac"), BOX, spaces.Discrete(3))


def test_there_is_nothing_to_step() -> None:
    venv = SpacesOnly(2, BOX, BOX)
    with pytest.raises(RuntimeError, match="have spaces only"):
        venv.reset()
    assert venv.get_attr("spec") == [None, None]
