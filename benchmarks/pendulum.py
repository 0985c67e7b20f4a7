"""Time the multimodal pendulum beside a textbook implementation, in one process on one thread.

    OMP_NUM_THREADS=1 python benchmarks/pendulum.py

Times are CPU times, which other processes disturb little. The textbook version draws every pixel
from the definition and loops over the receivers. GMC's simulator was measured at 0.37 ms per step
with image and sound on a 2-core machine; the ratio to that number mixes machines, the ratio to the
textbook version does not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

import mmrl_envs  # noqa: F401  (registers the id)

ID = "mmrl/MultimodalPendulum-v0"
ORIGINAL_MS = 0.37
RECEIVERS = ((-2.2, 2.2), (-2.2, -2.2), (2.2, 0.0))


class TextbookPendulum:
    """The task written down plainly."""

    def __init__(self) -> None:
        self.x = ((np.arange(20, 80) + 0.5 - 50) / (100 / 4.4))[None, :]
        self.y = ((50 - np.arange(20, 80) - 0.5) / (100 / 4.4))[:, None]
        self.theta, self.theta_dot = 3.0, 0.5
        self.image = [self.draw()] * 2
        self.sound = [self.listen()] * 2

    def draw(self) -> Any:
        """Return the image, 60 x 60."""
        dx, dy = -math.sin(self.theta), math.cos(self.theta)
        t = np.clip(self.x * dx + self.y * dy, 0, 1)
        distance = np.sqrt((self.x - t * dx) ** 2 + (self.y - t * dy) ** 2)
        return np.where(distance <= 0.1, 255, 0).astype(np.uint8)

    def listen(self) -> Any:
        """Return scaled frequency and amplitude per receiver."""
        tip = np.array([math.cos(self.theta), math.sin(self.theta)])
        velocity = self.theta_dot * np.array([-math.sin(self.theta), math.cos(self.theta)])
        heard = []
        for receiver in RECEIVERS:
            way = np.array(receiver) - tip
            distance = np.linalg.norm(way)
            speed = velocity @ way / distance
            frequency = 440 * 20 / (20 - speed)
            amplitude = 1 / distance**2
            heard.append([(frequency - 314.2857) / 419.0476, (amplitude - 0.059163) / 0.635281])
        return np.array(heard, np.float32)

    def step(self, action: Any) -> Any:
        """Advance by 0.05 s."""
        torque = np.clip(action[0], -2, 2)
        angle = (self.theta + math.pi) % (2 * math.pi) - math.pi
        reward = -(angle**2 + 0.1 * self.theta_dot**2 + 0.001 * torque**2)
        speed = self.theta_dot + (-15 * math.sin(self.theta + math.pi) + 3 * torque) * 0.05
        self.theta += 0.05 * speed
        self.theta_dot = float(np.clip(speed, -8, 8))
        self.image = [self.image[1], self.draw()]
        self.sound = [self.sound[1], self.listen()]
        observation = {"image": np.stack(self.image), "sound": np.stack(self.sound)}
        return observation, float(reward), False, False, {}


def mean_ms(step: Callable[[], Any], steps: int) -> float:
    """Return the mean CPU time of one call in milliseconds."""
    start = time.process_time()
    for _ in range(steps):
        step()
    return 1e3 * (time.process_time() - start) / steps


def main() -> None:
    """Interleave the candidates and print the best of nine rounds each."""
    action = np.array([0.7], np.float32)
    candidates: dict[str, tuple[Callable[[], Any], int, int]] = {}
    textbook = TextbookPendulum()
    candidates["textbook"] = (lambda: textbook.step(action), 1, 400)
    single = gymnasium.make(ID, episode_length=10**9).unwrapped
    single.reset(seed=0)
    candidates["single"] = (lambda: single.step(action), 1, 1000)
    for count in (8, 64, 256):
        envs = gymnasium.make_vec(ID, num_envs=count)
        envs.reset(seed=0)
        batch = np.full((count, 1), 0.7, np.float32)
        candidates[f"vector of {count}"] = (
            lambda envs=envs, batch=batch: envs.step(batch),  # type: ignore[misc]
            count,
            20_000 // (count + 60),
        )
    times = dict.fromkeys(candidates, math.inf)
    for _ in range(9):
        for name, (step, count, steps) in candidates.items():
            times[name] = min(times[name], mean_ms(step, steps) / count)

    print(f"{'':15}{'ms per step':>12}{'of textbook':>14}{'of 0.37 ms':>13}")
    for name, value in times.items():
        ratios = f"{times['textbook'] / value:13.1f}x{ORIGINAL_MS / value:12.1f}x"
        print(f"{name:15}{value:12.4f}{ratios}")


if __name__ == "__main__":
    main()
