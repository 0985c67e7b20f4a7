"""An encoder and environments that are small enough to check by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn

from mmrl.methods.method import Method, MethodConfig
from mmrl.modality import Batch, Modality

CAMERA = (1, 36, 36)  # the smallest that the CNN of Stable-Baselines3 takes
MODALITIES = (Modality("camera", CAMERA, "image"), Modality("joints", (3,), "vector"))


@dataclass(frozen=True)
class TinyConfig(MethodConfig):
    latent_dim: int = 4


class TinyEncoder(Method):
    """Sums a linear map per available modality; has dropout and batch statistics on purpose."""

    name: ClassVar[str] = "tiny"
    Config: ClassVar[type[MethodConfig]] = TinyConfig

    def __init__(
        self, modalities: tuple[Modality, ...] = MODALITIES, config: MethodConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        self.maps = nn.ModuleDict({m.name: nn.Linear(m.size, self.latent_dim) for m in modalities})
        self.norm = nn.BatchNorm1d(self.latent_dim)
        self.dropout = nn.Dropout(0.5)
        self.calls = 0

    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        self.calls += 1
        terms = [
            self.maps[name](inputs[name].flatten(1)) * available[:, i, None]
            for i, name in enumerate(self.names)
        ]
        latent: Tensor = self.dropout(self.norm(torch.stack(terms).sum(0)))
        return latent

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.encode(batch.values, batch.available).square().mean()}


class TwoSensors(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """The joints' first value counts steps; the action's size is punished; a time limit of 5.

    `missing` names the sensors that are unavailable at a step of the episode. Actions are numbers
    within [-2, 2], or one of three.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        length: int = 5,
        terminates: bool = False,
        with_mask: bool = True,
        missing: Mapping[int, tuple[str, ...]] | None = None,
        discrete: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.missing = missing or {}
        self.length = length
        self.terminates = terminates
        channels: dict[str, spaces.Space[Any]] = {
            "camera": spaces.Box(0, 255, CAMERA, np.uint8),
            "joints": spaces.Box(-np.inf, np.inf, (3,), np.float32),
        }
        if with_mask:
            channels["available"] = spaces.MultiBinary(2)
        self.with_mask = with_mask
        self.channels = channels
        self.observation_space = spaces.Dict(channels)  # type: ignore[assignment]
        box = spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.action_space = spaces.Discrete(3) if discrete else box  # type: ignore[assignment]
        self.steps = 0
        self.start = 0.0
        self.torques: list[float] = []

    def observe(self) -> dict[str, np.ndarray]:
        observation: dict[str, np.ndarray] = {
            "camera": np.full(CAMERA, 10 * self.steps, np.uint8),
            "joints": np.array([self.steps, self.start, 1.0], np.float32),
        }
        if self.with_mask:
            lost = self.missing.get(self.steps, ())
            observation["available"] = np.array(
                [name not in lost for name in ("camera", "joints")], np.int8
            )
        return observation

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self.start = float(self.np_random.uniform()) if options is None else options["start"]
        return self.observe(), {"start": self.start}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.torques.append(float(np.ravel(action)[0]))
        ended = self.steps >= self.length
        reward = -float(np.square(action).sum()) - self.start
        info = {"steps": self.steps}
        return (
            self.observe(),
            reward,
            ended and self.terminates,
            ended and not self.terminates,
            info,
        )

    def render(self) -> np.ndarray:
        return np.full((4, 6, 3), self.steps, np.uint8)

    def double(self, value: int) -> int:
        return 2 * value


def vectorized(
    kind: Callable[[], gym.Env[Any, Any]] = TwoSensors,
    num_envs: int = 2,
    mode: AutoresetMode = AutoresetMode.SAME_STEP,
) -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([kind] * num_envs, autoreset_mode=mode)
