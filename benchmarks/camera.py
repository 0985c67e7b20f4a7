"""Frames per second of a camera on MuJoCo environments, without a GPU or with one.

    python benchmarks/camera.py --env Ant-v5 HalfCheetah-v5 --size 64

Compares `CameraObservation` with what one would write otherwise: Gymnasium's `render()` resized
with OpenCV, in its default size and in the size of the image. Needs `mmrl[mujoco]` and EGL.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import cv2
import gymnasium
import numpy as np


def frames_per_second(render: Callable[[], Any], seconds: float) -> float:
    """Frames (or steps) per second of a function."""
    render()  # opens the context
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        render()
        count += 1
    return count / (time.perf_counter() - start)


def camera(name: str, size: int) -> tuple[gymnasium.Env[Any, Any], Callable[[], Any]]:
    """Our camera."""
    from mmrl_envs.wrappers.camera import CameraObservation

    env = CameraObservation(gymnasium.make(name), size=size)
    observation, _ = env.reset(seed=0)
    return env, lambda: env.observation(observation)["camera"]


def gymnasium_render(
    name: str, size: int, frame: int
) -> tuple[gymnasium.Env[Any, Any], Callable[[], Any]]:
    """Gymnasium's renderer, resized with OpenCV."""
    env = gymnasium.make(name, render_mode="rgb_array", width=frame, height=frame)
    env.reset(seed=0)

    def render() -> Any:
        picture: Any = env.render()
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small.transpose(2, 0, 1))

    return env, render


def steps_per_second(env: gymnasium.Env[Any, Any], seconds: float) -> float:
    """Steps per second under a constant action."""
    action = np.zeros(env.action_space.shape or (), np.float32)

    def step() -> None:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    env.reset(seed=0)
    return frames_per_second(step, seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Frames per second of MuJoCo cameras.")
    parser.add_argument("--env", nargs="+", default=["Ant-v5", "HalfCheetah-v5", "Hopper-v5"])
    parser.add_argument("--size", type=int, default=64, help="height and width of the image")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    options = parser.parse_args()
    os.environ.setdefault("MUJOCO_GL", "egl")  # for Gymnasium's own renderer
    size = options.size
    header = ("images/s", "render() 480", f"render() {size}", "steps/s", "steps/s with camera")
    print(f"{'':16}" + "".join(f"{title:>21}" for title in header))
    for name in options.env:
        env, render = camera(name, size)
        rates = [frames_per_second(render, options.seconds)]
        with_camera = steps_per_second(env, options.seconds)
        env.close()
        for frame in (480, size):
            env, render = gymnasium_render(name, size, frame)
            rates.append(frames_per_second(render, options.seconds))
            env.close()
        bare = gymnasium.make(name)
        rates += [steps_per_second(bare, options.seconds), with_camera]
        print(f"{name:16}" + "".join(f"{rate:21.0f}" for rate in rates))


if __name__ == "__main__":
    main()
