from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from mmrl.modality import Modality
from mmrl_agents.latent import LatentMemory, LatentVecEnv, check_channels
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import MODALITIES, TinyEncoder, TwoSensors, vectorized

ZERO = np.zeros((2, 1), np.float32)
NOTHING = ("camera", "joints")


def make_dummy(kind: Callable[[], TwoSensors]) -> VecEnv:
    return DummyVecEnv([kind, kind])


def make_subproc(kind: Callable[[], TwoSensors]) -> VecEnv:
    return SubprocVecEnv([kind, kind], start_method="fork")


def make_gymnasium(kind: Callable[[], TwoSensors]) -> VecEnv:
    return GymnasiumVecEnv(vectorized(kind))


def reset(venv: VecEnv) -> np.ndarray:
    latents = venv.reset()
    assert isinstance(latents, np.ndarray)
    return latents


def step(venv: VecEnv) -> np.ndarray:
    latents = venv.step(ZERO)[0]
    assert isinstance(latents, np.ndarray)
    return latents


def expected(
    encoder: TinyEncoder, steps: int, start: float, lost: tuple[str, ...] = ()
) -> np.ndarray:
    """The latent of a step, computed from its definition."""
    env = TwoSensors(with_mask=False)
    env.steps, env.start = steps, start
    values = {
        name: torch.as_tensor(value)[None]
        for name, value in env.observe().items()
        if name not in lost
    }
    with torch.no_grad():
        return encoder.eval().encode(values)[0].numpy()


@pytest.mark.parametrize("make", [make_dummy, make_subproc, make_gymnasium])
def test_encodes_what_is_available_in_any_vec_env(
    make: Callable[[Callable[[], TwoSensors]], VecEnv], encoder: TinyEncoder
) -> None:
    venv = LatentVecEnv(make(partial(TwoSensors, missing={1: ("camera",)})), encoder)
    assert venv.observation_space == spaces.Box(-np.inf, np.inf, (4,), np.float32)
    venv.set_options({"start": 0.5})
    first = reset(venv)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first[1], expected(encoder, 0, 0.5), rtol=1e-5)
    np.testing.assert_allclose(step(venv)[0], expected(encoder, 1, 0.5, ("camera",)), rtol=1e-5)
    venv.close()


def test_holds_the_last_latent_while_nothing_is_available(encoder: TinyEncoder) -> None:
    kind = partial(TwoSensors, missing={0: NOTHING, 2: NOTHING, 3: NOTHING, 5: NOTHING})
    venv = LatentVecEnv(make_gymnasium(kind), encoder)
    seen = [reset(venv), *(step(venv) for _ in range(4))]
    latents, _, dones, infos = venv.step(ZERO)
    assert dones.all()
    assert not seen[0].any(), "nothing is known yet"
    assert np.abs(seen[1]).min() > 0
    np.testing.assert_array_equal(seen[1], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert not np.array_equal(seen[3], seen[4])
    for i, info in enumerate(infos):
        np.testing.assert_array_equal(info["terminal_observation"], seen[4][i])
    assert not latents.any(), "an episode knows nothing of the one before"  # type: ignore[union-attr]


def test_last_observations_of_episodes_are_encoded(encoder: TinyEncoder) -> None:
    venv = LatentVecEnv(make_gymnasium(partial(TwoSensors, length=1)), encoder)
    venv.set_options({"start": 0.25})
    venv.reset()
    latents, _, _, infos = venv.step(ZERO)
    np.testing.assert_allclose(
        infos[0]["terminal_observation"], expected(encoder, 1, 0.25), rtol=1e-5
    )
    assert infos[0]["TimeLimit.truncated"]
    start = venv.venv.reset_infos[0]["start"]
    np.testing.assert_allclose(latents[0], expected(encoder, 0, start), rtol=1e-5)  # type: ignore[index]


def test_only_the_environments_that_ended_forget(encoder: TinyEncoder) -> None:
    memory = LatentMemory(encoder)
    seen = {"joints": np.ones((2, 3), np.float32)}
    lost = {"joints": np.full((2, 3), np.nan, np.float32)}
    known = memory.step(seen, np.array([True, True]))
    latents, finals = memory.step_and_end(
        lost, np.array([True, False]), [{"joints": lost["joints"][0]}]
    )
    assert not latents[0].any()
    np.testing.assert_array_equal(latents[1], known[1])
    np.testing.assert_array_equal(finals[0], known[0])


def test_encodes_once_per_step(encoder: TinyEncoder) -> None:
    venv = LatentVecEnv(make_gymnasium(partial(TwoSensors, length=2)), encoder)
    venv.reset()
    for _ in range(6):
        venv.step(ZERO)
    assert encoder.calls == 7


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_mean_missing(encoder: TinyEncoder, value: float) -> None:
    memory = LatentMemory(encoder)
    camera = np.full((1, *MODALITIES[0].shape), 70, np.uint8)
    joints = np.full((1, 3), value, np.float32)
    first = np.array([True])
    with_bad_value = memory.step({"camera": camera, "joints": joints}, first)
    np.testing.assert_array_equal(with_bad_value, memory.step({"camera": camera}, first))


def test_a_latent_that_is_not_finite_is_not_remembered(encoder: TinyEncoder) -> None:
    """Raw numbers, which this encoder takes as they are, can overflow in its networks."""
    memory = LatentMemory(encoder)
    first = np.array([True])
    known = memory.step({"joints": np.ones((1, 3), np.float32)}, first)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1e30)
    held = memory.step({"joints": np.full((1, 3), 9e29, np.float32)}, ~first)
    np.testing.assert_array_equal(held, known)


def test_values_under_a_false_mask_never_matter(encoder: TinyEncoder) -> None:
    memory = LatentMemory(encoder)
    rng = np.random.default_rng(0)
    first = np.array([True])

    def with_noise() -> np.ndarray:
        return memory.step(
            {
                "camera": rng.integers(0, 256, (1, *MODALITIES[0].shape), np.uint8),
                "joints": np.array([[1.0, 2.0, 3.0]], np.float32),
                "available": np.array([[0, 1]], np.int8),
            },
            first,
        )

    np.testing.assert_array_equal(with_noise(), with_noise())


def test_the_encoder_runs_in_evaluation_mode(encoder: TinyEncoder) -> None:
    encoder.train()
    venv = LatentVecEnv(make_gymnasium(TwoSensors), encoder)
    assert not encoder.training
    before = encoder.norm.running_mean.clone()  # type: ignore[union-attr]
    venv.reset()
    assert torch.equal(before, encoder.norm.running_mean)  # type: ignore[arg-type]


def test_the_replay_buffer_holds_latents(encoder: TinyEncoder) -> None:
    venv = LatentVecEnv(make_gymnasium(TwoSensors), encoder)
    model = SAC("MlpPolicy", venv, buffer_size=64, learning_starts=8, batch_size=4, seed=0)
    model.learn(24)
    assert model.replay_buffer is not None
    assert model.replay_buffer.observations.shape == (32, 2, 4)
    assert model.replay_buffer.timeouts[4].all()
    ends = model.replay_buffer.next_observations[4]
    assert not np.array_equal(ends, model.replay_buffer.observations[5])
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert encoder.calls == 1 + 12, "once per step, not again for sampled batches"


BOX = spaces.Box(-1, 1, (3,), np.float32)
CAMERA = spaces.Box(0, 255, MODALITIES[0].shape, np.uint8)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"camera": CAMERA}, "no channel 'joints'"),
        ({"camera": CAMERA, "joints": BOX, "lidar": BOX}, "channel 'lidar' is unknown"),
        ({"camera": BOX, "joints": BOX}, r"'camera' has shape \(3,\) instead of \(1, 36, 36\)"),
        ({"camera": CAMERA, "joints": BOX, "available": spaces.MultiBinary(3)}, r"shape \(3,\)"),
    ],
)
def test_names_the_channels_that_do_not_fit(
    channels: dict[str, gym.Space[object]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_channels(spaces.Dict(channels), MODALITIES)


def test_another_order_of_channels_matters_with_a_mask_only() -> None:
    pairs: list[tuple[str, spaces.Space[Any]]] = [("joints", BOX), ("camera", CAMERA)]
    check_channels(spaces.Dict(pairs), MODALITIES)
    with pytest.raises(ValueError, match=r"in the order \['joints', 'camera'\]"):
        check_channels(spaces.Dict([*pairs, ("available", spaces.MultiBinary(2))]), MODALITIES)


def test_needs_a_dict_observation(encoder: TinyEncoder) -> None:
    venv = DummyVecEnv([lambda: gym.make("CartPole-v1")])
    with pytest.raises(TypeError, match="Dict observation with a key per sensor"):
        LatentVecEnv(venv, encoder)


def test_a_scalar_modality_is_named() -> None:
    with pytest.raises(ValueError, match="no channel 'temperature'"):
        check_channels(spaces.Dict({"x": BOX}), [Modality("temperature", (1,), "vector")])


def test_what_is_missing_is_decided_once_per_observation(
    encoder: TinyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = LatentMemory(encoder)
    env = TwoSensors(with_mask=False)
    env.reset(seed=0)
    observations = {name: value[None] for name, value in env.observe().items()}
    with torch.no_grad():
        values = {name: torch.as_tensor(value) for name, value in observations.items()}
        whole = encoder.eval().encode(values).numpy()
    monkeypatch.setattr("mmrl.methods.method.mark_missing", None)
    assert np.array_equal(memory.step(observations, np.ones(1, np.bool_)), whole)


def test_an_encoder_can_be_given_by_its_path(encoder: TinyEncoder, encoder_file: Path) -> None:
    by_path = LatentVecEnv(make_gymnasium(TwoSensors), str(encoder_file.parent))
    given = LatentVecEnv(make_gymnasium(TwoSensors), encoder)
    for venv in (by_path, given):
        venv.seed(3)
    np.testing.assert_array_equal(reset(by_path), reset(given))
