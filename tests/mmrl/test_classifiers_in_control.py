"""The checkpoint of a classifier on the other side: features for a policy."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.preprocessing import preprocess_obs

from mmrl import checkpoint
from mmrl.classification.check import check_classification
from mmrl.runs.folder import RunFolder
from mmrl_agents.extractor import EncoderExtractor
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.mmrl.small_classification import LEARNS, config


class Shows(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """Shows the test samples one after the other."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.values = values
        self.place = 0
        channels: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(0, 255, x.shape[1:], np.uint8)
            if x.dtype == np.uint8
            else spaces.Box(-np.inf, np.inf, x.shape[1:], np.float32)
            for name, x in values.items()
        }
        channels["available"] = spaces.MultiBinary(2)
        self.observation_space = spaces.Dict(channels)  # type: ignore[assignment]
        self.masks = np.array([[1, 1], [1, 0], [0, 1]], np.int8)

    def observe(self) -> dict[str, np.ndarray]:
        shown = {name: x[self.place] for name, x in self.values.items()}
        return {"available": self.masks[self.place % 3], **shown}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return self.observe(), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.place += 1
        return self.observe(), 0.0, False, False, {}


def test_the_same_features_come_out_on_both_sides(finished: RunFolder, folder: Path) -> None:
    made = config(folder / "classes.npz", "method=concat", *LEARNS)
    test = check_classification(made).test
    values = {m.name: np.asarray(test.values[m.name][:]) for m in test.modalities}
    envs = SyncVectorEnv(
        [lambda: Shows(values)] * 2,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    venv = LatentVecEnv(GymnasiumVecEnv(envs), checkpoint.load(finished.path))
    latents = [venv.reset()]
    latents += [venv.step(np.zeros((2, 1), np.float32))[0] for _ in range(len(test) - 1)]
    method = checkpoint.load(finished.path)
    masks = torch.from_numpy(Shows(values).masks).bool().repeat(len(test) // 3, 1)
    with torch.no_grad():
        expected = method.encode(test.batch(np.arange(len(test))).values, masks).numpy()
    for column in range(2):
        seen = np.stack([latent[column] for latent in latents])  # type: ignore[index]
        # Two samples at once there, all of them here: sums differ in the last bit.
        assert np.abs(seen - expected).max() < 1e-6 * np.abs(expected).max()


def test_the_features_extractor_gives_the_same_features(finished: RunFolder, folder: Path) -> None:
    """What a policy that fine-tunes sees, images divided by 255 on the way."""
    test = check_classification(config(folder / "classes.npz", "method=concat", *LEARNS)).test
    batch = test.batch(np.arange(len(test)))
    env = Shows({m.name: np.asarray(test.values[m.name][:]) for m in test.modalities})
    mask = torch.from_numpy(env.masks).repeat(len(test) // 3, 1)
    extractor = EncoderExtractor(env.observation_space, str(finished.path / "encoder.yaml"))
    seen = preprocess_obs({**batch.values, "available": mask}, env.observation_space)
    with torch.no_grad():
        expected = checkpoint.load(finished.path).encode(batch.values, mask.bool())
        features = extractor(seen)
    assert float((features - expected).abs().max()) < 1e-6 * float(expected.abs().max())


def test_an_environment_that_does_not_fit_is_told_apart(finished: RunFolder) -> None:
    image, smell = np.zeros((3, 1, 8, 9), np.uint8), np.zeros((3, 5), np.float32)
    values: dict[str, np.ndarray] = {"image": image, "smell": smell}
    envs = SyncVectorEnv([lambda: Shows(values)], autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(ValueError, match="no channel 'sound'; channel 'smell' is unknown") as found:
        LatentVecEnv(GymnasiumVecEnv(envs), checkpoint.load(finished.path))
    assert "channel 'image' has shape (1, 8, 9) instead of (1, 8, 8)" in str(found.value)
