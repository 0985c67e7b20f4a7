from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.build import AgentConfig, build_policy
from mmrl_agents.policies import as_acting
from mmrl_agents.robustness import evaluate, subset_conditions
from tests.agents.tiny import TinyEncoder, TwoSensors, vectorized

CONDITIONS = subset_conditions(["camera", "joints"])


def make(count: int) -> Any:
    return vectorized(lambda: TwoSensors(with_mask=False), count)


def double(observation: Any) -> NDArray[Any]:
    """The count of steps, doubled: in this environment of 5 steps its squares sum up to 120."""
    return np.asarray(2.0 * observation["joints"][:, :1], np.float32)


class Counts:
    """Predicts how often it was asked in this episode, as a recurrent model would."""

    def __init__(self) -> None:
        self.deterministic: set[bool] = set()
        self.seen: set[str] = set()

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        self.deterministic.add(deterministic)
        self.seen |= set(observation)
        count = np.zeros(len(episode_start)) if state is None else state
        count = np.where(episode_start, 0.0, count + 1.0)
        return count[:, None].astype(np.float32), count


def test_a_function_is_measured() -> None:
    results = evaluate(double, make, CONDITIONS, episodes=3, seed=0)
    starts = results[0].starts["start"]
    np.testing.assert_allclose(results[0].returns, -120 - 5 * starts, rtol=1e-6)
    np.testing.assert_allclose(results[1].returns, -5 * starts, rtol=1e-6)  # it reads zeros


def test_what_predicts_keeps_its_state_within_an_episode_and_sees_what_is_available() -> None:
    model = Counts()
    (result,) = evaluate(model, make, CONDITIONS[:1], episodes=3, seed=0)
    np.testing.assert_allclose(result.returns, -30 - 5 * result.starts["start"], rtol=1e-6)
    assert model.deterministic == {True}
    assert model.seen == {"camera", "joints", "available"}


def test_a_model_of_stable_baselines_acts_on_the_channels_that_it_was_trained_with() -> None:
    venv = DummyVecEnv([lambda: TwoSensors(with_mask=False)])
    model = SAC("MultiInputPolicy", venv, buffer_size=10, seed=0)
    first, second = (
        evaluate(policy, make, CONDITIONS, episodes=2, seed=0) for policy in (model, model.policy)
    )
    assert len({float(result.returns.sum()) for result in first}) == 3
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.returns, other.returns)


def test_an_agent_that_was_loaded_is_measured(encoder: TinyEncoder) -> None:
    latent = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    policy = build_policy(AgentConfig(), latent, TwoSensors().action_space)
    policy.set_training_mode(False)
    acting = LatentPolicy(encoder, policy)
    agent = Agent(acting, TwoSensors().channels)
    (first,) = evaluate(agent, make, CONDITIONS[:1], episodes=2, seed=0)
    (second,) = evaluate(acting, make, CONDITIONS[:1], episodes=2, seed=0)
    np.testing.assert_array_equal(first.returns, second.returns)


def test_what_acts_stays_what_it_is(encoder: TinyEncoder) -> None:
    policy = build_policy(AgentConfig(), TwoSensors().observation_space, TwoSensors().action_space)
    acting = ObservationPolicy(policy)
    assert as_acting(acting) is acting


def test_what_is_no_policy_is_refused_before_any_work() -> None:
    as_users_call_it = inspect.unwrap(as_acting)  # tests check the types of arguments before
    with pytest.raises(TypeError, match="expected a policy, got str: an agent of"):
        as_users_call_it("policy.zip")
    latent = build_policy(
        AgentConfig(), gym.spaces.Box(-1, 1, (4,), np.float32), TwoSensors().action_space
    )
    with pytest.raises(TypeError, match=r"got Box.* LatentPolicy\(encoder, policy\)"):
        evaluate(latent, lambda _: pytest.fail("made"), CONDITIONS, episodes=1, seed=0)


@pytest.mark.parametrize("actions", [np.float32(1.0), np.zeros((1, 1), np.float32)])
def test_one_action_for_many_environments_is_refused(actions: Any) -> None:
    with pytest.raises(ValueError, match=r"for 3 environments; expected \(3, ...\)"):
        evaluate(lambda _: actions, make, CONDITIONS, episodes=3, seed=0)
