from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from mmrl.checkpoint import CheckpointError
from mmrl_agents.build import ActionNoiseConfig, AgentConfig, build_agent, training_env
from mmrl_agents.state import read_state, write_state
from mmrl_agents.training import KeepState, train_agent
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import TinyEncoder, TwoSensors, vectorized

REPLAY: dict[str, Any] = {"buffer_size": 40, "learning_starts": 8, "batch_size": 4}
ROLLOUT: dict[str, Any] = {"n_steps": 4}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "sac": REPLAY,
    "td3": REPLAY,
    "ddpg": REPLAY,
    "dqn": {**REPLAY, "exploration_fraction": 1.0},
    "ppo": {**ROLLOUT, "batch_size": 8},
    "a2c": ROLLOUT,
    "recurrent_ppo": {**ROLLOUT, "batch_size": 8},
}


def build(algorithm: str, on_latents: bool = True, **settings: Any) -> BaseAlgorithm:
    torch.manual_seed(0)
    kwargs: dict[str, Any] = {"net_arch": [8]}
    if algorithm == "recurrent_ppo":
        kwargs["lstm_hidden_size"] = 8
    config = AgentConfig(
        algorithm,
        n_envs=2,
        arguments=ARGUMENTS[algorithm] | settings.pop("arguments", {}),
        policy_kwargs=kwargs,
        learning_rate_schedule="linear",
        **settings,
    )
    encoder = TinyEncoder() if on_latents else None
    kind = partial(TwoSensors, discrete=algorithm == "dqn")
    venv = training_env(config, GymnasiumVecEnv(vectorized(kind)), encoder)
    return build_agent(config, venv, seed=3)


class Kill(BaseCallback):
    """Dies like a process that is killed: in the middle of a step, nothing is cleaned up."""

    def __init__(self, frame: int) -> None:
        super().__init__()
        self.frame = frame

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.frame:
            raise KeyboardInterrupt
        return True


def killed_at(
    frame: int, folder: Path, algorithm: str, total_timesteps: int, **settings: Any
) -> None:
    model = build(algorithm, **settings)
    with pytest.raises(KeyboardInterrupt):
        train_agent(
            model, total_timesteps, folder=folder, every=16, callbacks=[Kill(frame)], progress=False
        )


@pytest.mark.parametrize("algorithm", ARGUMENTS)
def test_a_killed_training_is_continued(algorithm: str, tmp_path: Path) -> None:
    killed_at(40, tmp_path, algorithm, total_timesteps=64)
    model = build(algorithm)
    assert read_state(model, tmp_path)
    assert 16 <= model.num_timesteps <= 40
    start = model.num_timesteps
    parameters = model.policy.parameters_to_vector()
    updates = model._n_updates
    seen: list[int] = []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            seen.append(self.num_timesteps)
            return True

    train_agent(model, 64, folder=tmp_path, every=1000, callbacks=[Watch()], progress=False)
    assert seen[0] == start + 2
    assert seen[-1] == 64
    assert model._n_updates > updates > 0
    assert not np.array_equal(parameters, model.policy.parameters_to_vector())
    assert model._current_progress_remaining == pytest.approx(0.0)


def test_everything_is_as_it_was(tmp_path: Path) -> None:
    noise = ActionNoiseConfig("ornstein_uhlenbeck", sigma=0.4, final_sigma=0.0, decay_timesteps=100)
    model = build("sac", action_noise=noise)
    model.learn(48)
    write_state(model, tmp_path)
    again = build("sac", action_noise=noise)
    assert read_state(again, tmp_path)
    assert isinstance(model, OffPolicyAlgorithm)
    assert isinstance(again, OffPolicyAlgorithm)
    for name, state in model.get_parameters().items():
        torch.testing.assert_close(again.get_parameters()[name], state, rtol=0, atol=0)
    assert torch.equal(again.log_ent_coef, model.log_ent_coef)  # type: ignore[attr-defined]
    assert again.replay_buffer is not None
    assert model.replay_buffer is not None
    assert (again.replay_buffer.pos, again.replay_buffer.full) == (4, True)
    for name in ("observations", "next_observations", "actions", "rewards"):
        np.testing.assert_array_equal(
            getattr(again.replay_buffer, name), getattr(model.replay_buffer, name)
        )
    episodes = [episode["r"] for episode in model.ep_info_buffer or ()]
    assert [episode["r"] for episode in again.ep_info_buffer or ()] == episodes != []
    assert again.action_noise.sigma == model.action_noise.sigma < 0.4  # type: ignore[union-attr]
    assert again._episode_num == model._episode_num > 0


def test_exploration_and_targets_of_dqn_go_on(tmp_path: Path) -> None:
    model = build("dqn")
    train_agent(model, 64, folder=tmp_path, every=16, progress=False)
    state = json.loads((next(tmp_path.glob("state-*")) / "counters.json").read_text())["counted"]
    again = build("dqn")
    read_state(again, tmp_path)
    assert isinstance(again, DQN)
    assert again._n_calls == again.num_timesteps / 2 == state["_n_calls"] > 0
    assert again.exploration_rate == state["exploration_rate"]
    assert 0.05 < again.exploration_rate < 1.0


def test_random_streams_go_on(tmp_path: Path) -> None:
    model = build("sac")
    model.learn(16)
    write_state(model, tmp_path)
    expected = (torch.rand(2), np.random.rand(2), model.action_space.sample())  # noqa: NPY002
    again = build("sac")
    read_state(again, tmp_path)
    assert torch.equal(torch.rand(2), expected[0])
    np.testing.assert_array_equal(np.random.rand(2), expected[1])  # noqa: NPY002
    np.testing.assert_array_equal(again.action_space.sample(), expected[2])


def test_environments_do_not_repeat_their_first_episodes(tmp_path: Path) -> None:
    def starts(model: BaseAlgorithm) -> list[float]:
        assert model.env is not None
        model.env.reset()
        return [info["start"] for info in model.env.unwrapped.reset_infos]

    model = build("sac")
    model.learn(16)
    write_state(model, tmp_path)
    again = build("sac")
    read_state(again, tmp_path)
    assert not set(starts(again)) & set(starts(build("sac")))


def test_episodes_that_were_cut_end_like_at_a_time_limit(tmp_path: Path) -> None:
    model = build("sac")
    model.learn(16)
    write_state(model, tmp_path)
    again = build("sac")
    read_state(again, tmp_path)
    assert isinstance(again, OffPolicyAlgorithm)
    assert again.replay_buffer is not None
    last = again.replay_buffer.pos - 1
    assert again.replay_buffer.dones[last].all()
    assert again.replay_buffer.timeouts[last].all()


def test_replay_of_observations(tmp_path: Path) -> None:
    model = build("td3", on_latents=False)
    model.learn(16)
    write_state(model, tmp_path)
    again = build("td3", on_latents=False)
    read_state(again, tmp_path)
    for name in ("camera", "joints", "available"):
        np.testing.assert_array_equal(
            again.replay_buffer.next_observations[name],  # type: ignore[attr-defined]
            model.replay_buffer.next_observations[name],  # type: ignore[attr-defined]
        )


def test_replay_that_stores_observations_once(tmp_path: Path) -> None:
    arguments = {
        "optimize_memory_usage": True,
        "replay_buffer_kwargs": {"handle_timeout_termination": False},
    }
    model = build("sac", arguments=arguments)
    model.learn(16)
    write_state(model, tmp_path)
    again = build("sac", arguments=arguments)
    read_state(again, tmp_path)
    observations = model.replay_buffer.observations  # type: ignore[attr-defined]
    assert observations[8].any()
    np.testing.assert_array_equal(again.replay_buffer.observations, observations)  # type: ignore[attr-defined]


def test_only_the_newest_state_is_kept(tmp_path: Path) -> None:
    model = build("a2c")
    train_agent(model, 64, folder=tmp_path, every=16, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["state-000000000048"]


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    model = build("a2c").learn(32)
    write_state(model, tmp_path)
    again = train_agent(build("a2c"), 32, folder=tmp_path, progress=False)
    assert again.num_timesteps == 32


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_agent(build("a2c"), 16, progress=False).num_timesteps == 16
    assert not list(tmp_path.iterdir())


def test_a_state_that_was_not_finished_is_not_read(tmp_path: Path) -> None:
    model = build("sac").learn(16)
    state = write_state(model, tmp_path)
    (tmp_path / ".state-abc").mkdir()
    (tmp_path / ".state-abc" / "counters.json").write_text("{")
    assert read_state(build("sac"), tmp_path)
    model.learn(2, reset_num_timesteps=False)
    newer = write_state(model, tmp_path)
    assert list(tmp_path.iterdir()) == [newer] != [state]


def test_a_full_disk_keeps_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("sac").learn(16)
    state = write_state(model, tmp_path)
    model.learn(16, reset_num_timesteps=False)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        write_state(model, tmp_path)
    assert list(tmp_path.iterdir()) == [state]
    again = build("sac")
    read_state(again, tmp_path)
    assert again.num_timesteps == 16


@pytest.mark.parametrize("name", ["tensors.pt", "replay.npz", "counters.json"])
def test_a_damaged_state_is_named(name: str, tmp_path: Path) -> None:
    path = write_state(build("sac").learn(16), tmp_path) / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"damaged or belongs to other settings.*remove"):
        read_state(build("sac"), tmp_path)


def test_a_state_of_other_settings_is_named(tmp_path: Path) -> None:
    write_state(build("sac").learn(16), tmp_path)
    with pytest.raises(CheckpointError, match="other settings"):
        read_state(build("ppo"), tmp_path)
    with pytest.raises(CheckpointError, match=r"replay has shape \(9, 2, 4\)"):
        read_state(build("sac", arguments={"buffer_size": 10}), tmp_path)


def test_the_state_holds_no_objects(tmp_path: Path) -> None:
    state = write_state(build("sac").learn(16), tmp_path)
    torch.load(state / "tensors.pt", weights_only=True)
    with np.load(state / "replay.npz", allow_pickle=False) as arrays:
        assert len(arrays["observations"]) == 9
    assert json.loads((state / "counters.json").read_text())["counted"]["num_timesteps"] == 16


# Stable-Baselines3 ignores this warning of its bar; pytest does not.
@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning")
def test_the_bar_is_that_of_stable_baselines3(capsys: pytest.CaptureFixture[str]) -> None:
    train_agent(build("a2c"), 32)
    assert "32/32" in "".join(capsys.readouterr())


def test_a_state_every_no_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every must be at least 1 step, got 0"):
        KeepState(tmp_path, 0)
