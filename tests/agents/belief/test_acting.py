from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrl.methods import METHODS
from mmrl_agents.agent import Agent
from mmrl_agents.belief.acting import ACTION, BeliefPolicy
from mmrl_agents.belief.checkpoint import save_belief
from tests.agents.belief.small import KINDS, observations, run_folder, trained
from tests.agents.tiny import TinyEncoder

FIRST, LATER = np.ones(6, np.bool_), np.zeros(6, np.bool_)


@pytest.fixture(autouse=True)
def known_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, TinyEncoder.name, TinyEncoder)


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, encoder: TinyEncoder) -> Path:
    """A run whose belief is trained."""
    made = run_folder(tmp_path / "run", encoder, request.param)
    save_belief(trained(made), made)
    return made


def needed(policy: object) -> set[str]:
    assert isinstance(policy, BeliefPolicy)
    parts = {name for part in policy.sight.parts for name in part.needs}
    return parts if policy.sight.fills else {"camera", "joints"}


def test_with_all_that_the_policy_needs_actions_are_its_own_bit_for_bit(folder: Path) -> None:
    alone, aided = (Agent.load(folder, belief=belief).acting for belief in (False, True))
    assert isinstance(aided, BeliefPolicy)
    lost = {"camera", "joints"} - needed(aided)
    for step in range(4):
        seen = observations(6, step, **{name: [1, 3] for name in lost})
        first = FIRST if step == 0 else LATER
        np.testing.assert_array_equal(aided.act(seen, first), alone.act(seen, first))


def test_a_missing_sensor_changes_no_other_environment_s_action(folder: Path) -> None:
    alone, aided = (Agent.load(folder, belief=belief).acting for belief in (False, True))
    name = min(needed(aided))
    for step in range(3):
        seen = observations(6, step, **{name: [2]})
        first = FIRST if step == 0 else LATER
        others = np.arange(6) != 2
        np.testing.assert_array_equal(
            aided.act(seen, first)[others], alone.act(seen, first)[others]
        )


def test_values_of_what_is_missing_do_not_matter(folder: Path) -> None:
    one, other = (Agent.load(folder).acting for _ in range(2))
    for step in range(3):
        seen = observations(6, step, camera=[0, 1], joints=[1, 2])
        noise = {name: values.copy() for name, values in seen.items()}
        noise["camera"][[0, 1]] = 77
        noise["joints"][[1, 2]] = np.nan
        first = FIRST if step == 0 else LATER
        np.testing.assert_array_equal(one.act(seen, first), other.act(noise, first))


def test_an_episode_forgets_the_one_before(folder: Path) -> None:
    agent = Agent.load(folder)
    policy = agent.acting
    blind = observations(6, 9, camera=[*range(6)], joints=[*range(6)])
    at_first = policy.act(blind, FIRST)
    for step in range(3):
        policy.act(observations(6, step), LATER)
    np.testing.assert_array_equal(policy.act(blind, FIRST), at_first)


def test_an_agent_acts_on_one_observation_as_in_a_batch(folder: Path) -> None:
    agent, batch = Agent.load(folder), Agent.load(folder).acting
    for step in range(3):
        seen = observations(1, step)
        del seen["available"]
        single = {name: values[0] for name, values in seen.items()} | {"camera": None}
        expected = batch.act(seen | {"available": np.array([[0, 1]])}, np.array([step == 0]))[0]
        np.testing.assert_array_equal(agent.act(single), expected)


def test_what_was_done_matters_while_nothing_is_seen(tmp_path: Path, encoder: TinyEncoder) -> None:
    policy = trained(run_folder(tmp_path / "run", encoder, "numbers"))
    nothing = observations(6, 0, camera=[*range(6)], joints=[*range(6)])
    policy.act(nothing, FIRST)
    policy.believer.acted(np.full((6, 1), 2.0, np.float32))
    one = policy.act(nothing, LATER)
    policy.act(nothing, FIRST)
    policy.believer.acted(np.full((6, 1), -2.0, np.float32))
    assert (policy.act(nothing, LATER) != one).all()


def test_a_policy_that_reads_images_has_the_belief_s_own_head(
    tmp_path: Path, encoder: TinyEncoder
) -> None:
    policy = trained(run_folder(tmp_path / "run", encoder, "images"))
    assert policy.head == ACTION
    assert not policy.sight.fills
    nothing = observations(6, 0, camera=[*range(6)], joints=[*range(6)])
    assert len(np.unique(policy.act(nothing, FIRST))) == 1
