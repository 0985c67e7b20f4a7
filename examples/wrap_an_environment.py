"""Make an environment multimodal, let its sensors fail, and look at what fails.

Gymnasium's pendulum returns three numbers. Here they become two sensors, `angle` and `speed`, and
a camera watches, so there are three. Two of them fail: the camera goes dark now and then and says
so, the speed is stuck now and then and says nothing. Put your environment in its place.

    pip install 'mmrl[human]'     # pygame, which draws this pendulum; MuJoCo's robots do without
    python examples/wrap_an_environment.py
"""

from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np

from mmrl.report.video import write_video
from mmrl_envs import CameraObservation, SensorDropout, SplitObservation, StackFrames

STEPS = 60
FAULTS = [
    {"pattern": "burst", "outage": 8, "uptime": 12, "channels": ["camera"]},  # announced
    {"pattern": "burst", "outage": 8, "uptime": 12, "channels": ["speed"], "mechanism": "freeze"},
]

# 1. Name what is observed. Each wrapper is an ordinary Gymnasium wrapper.
env = gym.make("Pendulum-v1", render_mode="rgb_array")
env = SplitObservation(env, {"angle": [0, 2], "speed": [2, 3]})
env = CameraObservation(env, size=48, grayscale=True)
env = StackFrames(env, {"camera": 2})  # one image does not show how fast it moves
print("sensors:")
observation, _ = env.reset(seed=0)
for name, values in observation.items():
    print(f"  {name}: {values.shape} {values.dtype}")

# 2. Let them fail. The observation gets one more entry, `available`, with a 0 or 1 per sensor.
env = SensorDropout(env, FAULTS)
sensors = list(env.channels)
observation, info = env.reset(seed=0)
env.action_space.seed(0)

# 3. Look. `available` is what the agent is told; info["faulty"] is the truth.
told, truth, frames = [], [], []
for _step in range(STEPS):
    told.append(observation["available"] == 0)
    truth.append(info["faulty"])
    frames.append(env.render())  # a lamp for each sensor stands below the picture
    observation, _, terminated, truncated, info = env.step(env.action_space.sample())
    if terminated or truncated:
        observation, info = env.reset()

print("\n'#' missing, and the agent knows; '!' faulty, and it does not; '.' as it should be")
for i, name in enumerate(sensors):
    marks = np.where(np.array(told)[:, i], "#", np.where(np.array(truth)[:, i], "!", "."))
    print(f"  {name:<7} {''.join(marks)}")
for i, name in enumerate(sensors):
    print(f"  {name}: faulty in {np.mean([row[i] for row in truth]):.0%} of the steps")

# 4. Keep a video, and one picture of four moments.
video = write_video(frames, Path("sensors"), fps=15)
moments = np.concatenate([frames[i] for i in np.linspace(0, STEPS - 1, 4, dtype=int)], axis=1)
cv2.imwrite("sensors.png", cv2.cvtColor(moments, cv2.COLOR_RGB2BGR))
print(f"\nwrote {video} and sensors.png")

# The same seed gives the same dynamics with other faults, or with none: comparisons are paired.
bare = env.env
assert np.array_equal(bare.reset(seed=1)[0]["angle"], env.reset(seed=1)[0]["angle"])
