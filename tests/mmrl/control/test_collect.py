"""Observations for the encoder: under random actions, under a policy, killed and continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

import mmrl.control.collect
from mmrl.control.collect import check_collecting, collect_data, given_policy, train_behaviour
from mmrl.control.task import train
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console
from mmrl.runs.settings import to_stored
from mmrl.settings import ConfigError
from tests.mmrl.control.test_any_environment import FLAT, SMALL_SAC, SPLIT, config, run, wrapped

SPLIT_PENDULUM = [*FLAT, wrapped(SPLIT), *SMALL_SAC]
WARMUP = [*SPLIT_PENDULUM, "collect.policy=warmup", "collect.warmup_timesteps=80"]


def test_a_warmup_policy_collects(tmp_path: Path) -> None:
    made = run(tmp_path / "run", *WARMUP, "collect.keep=true")
    assert list(made.stages) == ["collect", "pretrain", "train", "evaluate"]
    assert not made.scratch("collect").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("outputs") / "run", *SPLIT_PENDULUM).path


def test_a_given_run_collects_and_the_seed_decides_what(finished: Path) -> None:
    settings = config(*SPLIT_PENDULUM, f"collect.policy={finished}")
    check_collecting(settings)
    parts = [collect_data(settings, lambda _: None, given_policy(settings)) for _ in range(2)]
    for left, right in zip(*parts, strict=True):
        np.testing.assert_array_equal(left.values["angle"][:], right.values["angle"][:])
    random, _ = collect_data(settings, lambda _: None)
    assert not np.array_equal(parts[0][0].values["angle"][:], random.values["angle"][:])


def test_sensors_of_one_unit_are_collected_as_such() -> None:
    settings = config(*SPLIT_PENDULUM, "env.shared_scale=[angle]")
    for part in collect_data(settings, lambda _: None):
        assert [m.name for m in part.modalities if m.shared_scale] == ["angle"]


def test_the_training_of_a_policy_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmup = ["agent=a2c", "collect.policy=warmup", "collect.warmup_timesteps=1200"]
    settings = config(*FLAT, wrapped(SPLIT), *warmup)
    started: list[int] = []

    class Watch(BaseCallback):
        def __init__(self, *_: object) -> None:
            super().__init__()

        def _on_training_start(self) -> None:
            started.append(self.num_timesteps)

        def _on_step(self) -> bool:
            if len(started) == 1 and self.num_timesteps > 900:
                raise KeyboardInterrupt
            return True

    monkeypatch.setattr(mmrl.control.collect, "EpisodeRewards", Watch)
    with pytest.raises(KeyboardInterrupt):
        train_behaviour(settings, tmp_path, lambda _: None)
    train_behaviour(settings, tmp_path, lambda _: None)
    assert started[0] == 0
    assert 500 <= started[1] <= 900


def test_a_run_killed_while_its_policy_is_trained_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(*WARMUP)
    folder = RunFolder.create(tmp_path / "run", to_stored(settings))
    with monkeypatch.context() as patch:
        patch.setattr(
            "mmrl.control.task.collect_data", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            train(settings, folder, make_console())
    assert not folder.finished("collect")
    again = RunFolder.open(folder.path)
    train(settings, again, make_console())
    assert again.finished("evaluate")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["collect.policy=nowhere"], "collect.policy is 'nowhere': there is no policy at nowhere"),
        (["collect.policy=warmup", "+agent@collect.agent=dqn"], "dqn cannot choose"),
    ],
)
def test_nobody_to_act_is_refused_before_any_work(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_collecting(config(*SPLIT_PENDULUM, *overrides))


def test_a_zip_needs_its_algorithm_and_network(tmp_path: Path) -> None:
    file = tmp_path / "sac.zip"
    SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}).save(file)
    wrong = config(*SPLIT_PENDULUM, f"collect.policy={file}")
    with pytest.raises(ConfigError, match=r"not of such a SACPolicy.*collect\.agent tells"):
        check_collecting(wrong)
    right = ["+agent@collect.agent=sac", "collect.agent.policy_kwargs.net_arch=[8]"]
    settings = config(*SPLIT_PENDULUM, f"collect.policy={file}", *right)
    check_collecting(settings)
    data, _ = collect_data(settings, lambda _: None, given_policy(settings))
    assert len(data) == 48


def test_a_run_with_other_sensors_is_refused(finished: Path) -> None:
    other = wrapped("{name: split, slices: {all: [0, 3]}}")
    settings = config(*FLAT, other, *SMALL_SAC, f"collect.policy={finished}")
    with pytest.raises(ConfigError, match=r"has the sensors .*'angle'.*, here are .*'all'"):
        check_collecting(settings)


def test_several_processes_do_not_train_one_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="train it first"):
        check_collecting(config(*WARMUP))


@pytest.mark.parametrize("name", ["random_episodes", "random_actions"])
def test_shares_are_shares(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must lie in \[0, 1\], got 1.5"):
        config(f"collect.{name}=1.5")
