from __future__ import annotations

import numpy as np
import pytest

from mmrl_agents.noise import ActionNoiseConfig, ScheduledNoise


def noise(n_envs: int = 1, start: int = 0, seed: int = 0, **settings: object) -> ScheduledNoise:
    config = ActionNoiseConfig(**settings)  # type: ignore[arg-type]
    return ScheduledNoise(config, 1, n_envs, start=start, seed=seed)


def test_ornstein_uhlenbeck_is_stationary_with_the_variance_of_its_formula() -> None:
    process = noise(name="ornstein_uhlenbeck", sigma=0.2, theta=0.15)
    values = np.array([process()[0, 0] for _ in range(40_000)], np.float64)[1000:]
    assert values.std() == pytest.approx(0.2 / np.sqrt(1 - 0.85**2), rel=0.05)
    correlation = np.corrcoef(values[:-1], values[1:])[0, 1]
    assert correlation == pytest.approx(0.85, abs=0.02)


def test_normal_noise_is_independent() -> None:
    process = noise(name="normal", sigma=0.5)
    values = np.array([process()[0, 0] for _ in range(20_000)])
    assert values.std() == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


def test_sigma_falls_linearly_after_the_warm_up() -> None:
    process = noise(
        2, start=10, name="ornstein_uhlenbeck", sigma=0.4, final_sigma=0.0, decay_timesteps=100
    )
    sigmas = []
    for _ in range(60):
        sigmas.append(process.sigma)
        process()
    assert sigmas[:5] == [0.0] * 5
    assert sigmas[5] == pytest.approx(0.4)
    assert sigmas[5 + 25] == pytest.approx(0.2)
    assert sigmas[55:] == [0.0] * 5


def test_nothing_is_added_during_the_warm_up() -> None:
    process = noise(start=3, name="normal", sigma=1.0)
    assert [bool(process().any()) for _ in range(5)] == [False] * 3 + [True] * 2


def test_environments_differ_and_restart_on_their_own() -> None:
    process = noise(2, name="ornstein_uhlenbeck", sigma=1.0, theta=0.0)
    first = process()
    assert first.shape == (2, 1)
    assert first[0] != first[1]
    process.reset(indices=[0])
    second = process()
    step = second[1] - first[1]
    process.reset()
    again = noise(2, name="ornstein_uhlenbeck", sigma=1.0, theta=0.0)
    again()
    again.reset()
    np.testing.assert_allclose(again()[:, 0], [second[0, 0], step[0]], rtol=1e-5)


def test_a_seed_decides() -> None:
    assert noise(name="normal", seed=1)() == noise(name="normal", seed=1)()
    assert noise(name="normal", seed=1)() != noise(name="normal", seed=2)()


def test_continues_from_a_state() -> None:
    process = noise(name="normal", sigma=0.3, final_sigma=0.1, decay_timesteps=10)
    for _ in range(4):
        process()
    other = noise(seed=9, name="normal", sigma=0.3, final_sigma=0.1, decay_timesteps=10)
    other.set_state(process.state())
    assert other.sigma == process.sigma == pytest.approx(0.22)
    assert other() == process()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "pink"}, "'pink'; known: none, normal, ornstein_uhlenbeck"),
        ({"sigma": -0.1}, "sigma .* must not be negative, got -0.1"),
        ({"final_sigma": -0.1}, "got 0.2 and -0.1"),
        ({"theta": 1.5}, r"theta must lie in \[0, 1\], got 1.5"),
        ({"decay_timesteps": 0}, "decay_timesteps must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ActionNoiseConfig(**settings)  # type: ignore[arg-type]
