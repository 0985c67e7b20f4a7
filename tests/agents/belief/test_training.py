from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from mmrl.checkpoint import CheckpointError
from mmrl.methods import METHODS
from mmrl_agents.agent import Agent
from mmrl_agents.belief.checkpoint import DESCRIPTION, WEIGHTS, save_belief
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.rollouts import RollOut
from mmrl_agents.belief.teacher import Teacher
from mmrl_agents.belief.training import BeliefTraining
from mmrl_agents.belief.windows import draw_windows, losses
from tests.agents.belief.small import CONFIG, observations, run_folder, sensors, task, trained
from tests.agents.tiny import TinyEncoder, vectorized

FIRST, LATER = np.ones(4, np.bool_), np.zeros(4, np.bool_)


class Killed(Exception):  # noqa: N818
    pass


@pytest.fixture(autouse=True)
def known_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, TinyEncoder.name, TinyEncoder)


@pytest.fixture
def folder(tmp_path: Path, encoder: TinyEncoder) -> Path:
    return run_folder(tmp_path / "run", encoder, "numbers, normalized")


@pytest.mark.parametrize("kill_at", [1, 3, 5])
def test_a_killed_training_goes_on_to_the_same_belief(
    folder: Path, tmp_path: Path, kill_at: int
) -> None:
    whole = trained(folder).believer.network.state_dict()

    def kill(update: int) -> None:
        if update == kill_at:
            raise Killed

    state = tmp_path / "state"
    state.mkdir()
    envs = partial(vectorized, sensors)
    with pytest.raises(Killed):
        BeliefTraining(task(folder), CONFIG, 0, state).run(lambda n: envs(num_envs=n), kill)
    torch.manual_seed(999)  # the global stream decides nothing
    again = trained(folder, state=state).believer.network.state_dict()
    assert whole.keys() == again.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=0)


def test_a_damaged_state_is_refused(folder: Path, tmp_path: Path) -> None:
    trained(folder, state=tmp_path)
    (tmp_path / "belief.pt").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="damaged or belongs to other settings"):
        BeliefTraining(task(folder), CONFIG, 0, tmp_path)


def test_files_hold_the_belief(folder: Path) -> None:
    policy = trained(folder)
    save_belief(policy, folder)
    loaded = Agent.load(folder).acting
    for step in range(3):
        seen = observations(4, step, joints=[0, 2])
        first = FIRST if step == 0 else LATER
        np.testing.assert_array_equal(loaded.act(seen, first), policy.act(seen, first))


def test_files_that_do_not_belong_together_are_refused(
    folder: Path, tmp_path: Path, encoder: TinyEncoder
) -> None:
    save_belief(trained(folder), folder)
    other = run_folder(tmp_path / "other", encoder, "latents")
    for name in (WEIGHTS, DESCRIPTION):
        (other / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match="of another run: its sees are"):
        Agent.load(other)
    (folder / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"belief\.safetensors is damaged"):
        Agent.load(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*belief\.safetensors"):
        Agent.load(folder)


def test_the_policy_stays_as_it_is(folder: Path) -> None:
    before = task(folder).teacher.policy.state_dict()
    after = trained(folder).believer.teacher.policy.state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=0)


def test_roll_outs_keep_what_was_executed_and_start_anew_with_an_episode(
    folder: Path, tmp_path: Path
) -> None:
    trained(folder, state=tmp_path)
    made = RollOut.load(tmp_path / "rollout-001.npz")
    assert made.first.shape == (40, 3)
    assert made.first[::5].all()
    assert made.first.sum() == 3 * 8, "episodes of five steps"
    assert (made.previous[made.first] == 0).all()
    assert (np.abs(made.previous) <= 1).all()
    assert (made.previous[~made.first] != 0).mean() > 0.9


def test_nothing_of_an_episode_reaches_the_next_one(folder: Path, tmp_path: Path) -> None:
    made = task(folder)
    training = BeliefTraining(made, CONFIG, 0, tmp_path)
    envs = partial(vectorized, sensors)
    network = training.run(lambda n: envs(num_envs=n))
    data = RollOut.joined(training.rollouts)
    rng = np.random.default_rng(0)
    windows = draw_windows(data, made.senses, made.sight, steps=8, count=32, rng=rng)
    begun = torch.cummax(windows.first.int(), 0).values.bool()
    readings = windows.evidence.readings.clone().requires_grad_()
    told = windows._replace(
        evidence=windows.evidence._replace(
            readings=readings, readable=torch.ones_like(windows.evidence.readable)
        ),
        weight=begun.float(),
    )
    losses(network, made.teacher, made.sight, told)["loss"].backward()
    assert readings.grad is not None
    assert (readings.grad[~begun] == 0).all()
    assert (readings.grad[begun] != 0).any()


@pytest.mark.slow
def test_it_remembers_what_no_sensor_says(folder: Path) -> None:
    """The joints' first value counts the steps of the episode: memory alone can tell it."""
    config = replace(CONFIG, total_timesteps=960, updates=400, batch_size=16, learning_rate=5e-3)
    policy = trained(folder, config)
    blind = observations(4, 0, camera=[*range(4)], joints=[*range(4)])
    counted = []
    for step in range(5):
        latents = policy.believer.senses.latents(*policy.believer.senses.clean(blind))
        _, available = policy.believer.senses.clean(blind)
        first = FIRST if step == 0 else LATER
        policy.believer.take_in(latents, blind["joints"], available, first)
        guess = policy.believer.guess()
        policy.believer.acted(np.zeros((4, 1), np.float32))
        counted.append(float(guess.numbers[0, 0]))
    statistics = policy.sight.acting.statistics  # type: ignore[union-attr]
    assert statistics is not None
    scale = np.sqrt(statistics.variance["joints"][0])
    steps = np.array(counted) * scale + statistics.mean["joints"][0]
    np.testing.assert_allclose(steps, np.arange(5), atol=0.5)


def test_policies_that_can_have_no_belief_are_refused() -> None:
    space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    class Many(gym.Env[np.ndarray, np.ndarray]):
        observation_space = space
        action_space = spaces.MultiDiscrete([2, 3])

    with pytest.raises(ValueError, match=r"needs actions that are a Box or Discrete, got MultiD"):
        Teacher(PPO("MlpPolicy", Many(), n_steps=8, batch_size=8).policy)
    contrib = pytest.importorskip("sb3_contrib")
    recurrent = contrib.RecurrentPPO("MlpLstmPolicy", "Pendulum-v1", n_steps=8, batch_size=8)
    with pytest.raises(ValueError, match="a recurrent policy remembers on its own"):
        Teacher(recurrent.policy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "lstm"}, "name is 'lstm'; known: gru, none"),
        ({"head": "both"}, "head is 'both'; known: auto, estimate, action"),
        ({"updates": 0}, "updates must be at least 1, got 0"),
        ({"noise": (0.4, 0.05)}, "noise must be two numbers, the smaller first"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"total_timesteps": 800}, "are 10 steps each, fewer than a window of 32"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BeliefConfig(**settings)  # type: ignore[arg-type]
