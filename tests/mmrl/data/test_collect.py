from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import mmrl_envs  # noqa: F401
from mmrl.data import collect
from mmrl.data.arrays import BitImages

ID = "mmrl/MultimodalPendulum-v0"


def make(n: int = 4) -> gym.vector.VectorEnv[Any, Any, Any]:
    return gym.make_vec(ID, num_envs=n)


def test_samples_come_with_their_state() -> None:
    data = collect(make(), 30, seed=0)
    assert len(data) == 30
    assert [m.name for m in data.modalities] == ["image", "sound"]
    assert isinstance(data.values["image"], BitImages)
    assert data.target is not None
    assert data.target.shape == (30, 2)


def test_the_same_seed_collects_the_same() -> None:
    runs = [collect(make(), 40, seed=seed, restart_every=5) for seed in (7, 7, 8)]
    sounds = [run.values["sound"][:] for run in runs]
    assert np.array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])


def test_one_environment_without_restarts_is_one_trajectory() -> None:
    data = collect(make(1), 50, seed=0)
    assert data.target is not None
    theta, speed = data.target.T
    turned = np.angle(np.exp(1j * (theta[1:] - theta[:-1])))
    assert np.abs(turned).max() <= (np.abs(speed[:-1]).max() + 1.0) * 0.05


def test_restarts_draw_new_states() -> None:
    """Upright, slow states are rare under random torque and common among fresh starts."""

    def upright(restart_every: int | None) -> float:
        target = collect(make(16), 4000, seed=0, restart_every=restart_every).target
        assert target is not None
        return float(np.mean((np.cos(target[:, 0]) > 0.9) & (np.abs(target[:, 1]) < 1.5)))

    assert upright(10) > 2 * upright(None)


def test_a_policy_gives_the_actions() -> None:
    seen: list[tuple[int, ...]] = []

    def push(observations: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        seen.append(observations["sound"].shape)
        return np.full((4, 1), 2.0, np.float32)

    pushed = collect(make(), 200, seed=0, policy=push)
    again = collect(make(), 200, seed=0, policy=push)
    drawn = collect(make(), 200, seed=0)
    assert seen[0] == (4, 2, 3, 2)
    assert np.array_equal(pushed.values["sound"][:], again.values["sound"][:])
    assert not np.array_equal(pushed.values["sound"][:], drawn.values["sound"][:])


def test_progress_ends_at_the_number_of_samples() -> None:
    counts: list[int] = []
    collect(make(), 30, seed=0, on_progress=counts.append)
    assert counts[-1] == 30


def test_environments_without_sensors_are_refused() -> None:
    with pytest.raises(TypeError, match="expected a Dict observation space"):
        collect(gym.make_vec("Pendulum-v1", num_envs=2), 10, seed=0)


@pytest.mark.parametrize(("samples", "restart_every"), [(0, None), (10, 0)])
def test_bad_counts_are_refused(samples: int, restart_every: int | None) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        collect(make(), samples, seed=0, restart_every=restart_every)
