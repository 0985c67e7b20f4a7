"""How robust is a policy that you have? Every subset of its sensors, and every kind of fault.

Anything that chooses actions can be measured: a model of Stable-Baselines3 on a Dict observation,
as here, an agent of `mmrl.load`, an object with `predict`, or a plain function. All of them meet
the same episodes: the same starts under every condition.

    python examples/measure_robustness.py
"""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env

from mmrl_agents.latent import Observation
from mmrl_agents.policies import AnyPolicy
from mmrl_agents.robustness import Condition, evaluate, rate_conditions, subset_conditions
from mmrl_envs import SplitObservation

TOTAL_TIMESTEPS = 6_000
EPISODES = 20
SEED = 0


def make_env() -> gym.Env:
    """Gymnasium's pendulum, whose three numbers come from two sensors."""
    return SplitObservation(gym.make("Pendulum-v1"), {"angle": [0, 2], "speed": [2, 3]})


def make_envs(count: int) -> VectorEnv:
    """So many of them, stepped at once; their sensors do not fail yet."""
    return SyncVectorEnv([make_env] * count)


# 1. The policy that you have. This one is trained for half a minute, with every sensor.
torch.set_num_threads(1)
model = SAC(
    "MultiInputPolicy",
    make_vec_env(make_env, n_envs=4, seed=SEED),
    learning_rate=2e-3,
    gradient_steps=2,
    batch_size=128,
    learning_starts=400,
    policy_kwargs={"net_arch": [64, 64]},
    seed=SEED,
)
model.learn(TOTAL_TIMESTEPS)


def by_hand(observation: Observation) -> np.ndarray:
    """A plain function: swings up by pumping energy, then holds; rows are environments."""
    cosine, sine = observation["angle"].T
    speed = observation["speed"][:, 0]
    energy = speed**2 / 6.0 + 5.0 * (cosine - 1.0)  # 0 at rest upright
    pump = -2.0 * np.sign(speed + 1e-6) * np.sign(energy)
    hold = -10.0 * np.arctan2(sine, cosine) - 2.0 * speed
    torque: np.ndarray = np.clip(np.where(cosine > 0.9, hold, pump), -2.0, 2.0)
    return torque[:, None].astype(np.float32)


# 2. What can happen. Bursts: out for 10 steps on average, then up for 20.
sensors = ["angle", "speed"]
burst: dict[str, Any] = {"pattern": "burst", "outage": 10, "uptime": 20}
lies: dict[str, dict[str, Any]] = {
    "missing": {},  # the only one that is announced, in observation["available"]
    "stuck": {"mechanism": "freeze"},
    "noisy": {"mechanism": "noise", "strength": 0.2},
    "biased": {"mechanism": "bias", "strength": 0.2},
    "drifting": {"mechanism": "drift", "strength": 0.02},
    "3 steps late": {"mechanism": "delay", "steps": 3},
    "jumping": {"mechanism": "salt_and_pepper", "share": 0.5},
    "cut off": {"mechanism": "saturation", "limit": 0.5},
}
conditions = [
    *subset_conditions(sensors),
    *rate_conditions(sensors, (0.1, 0.3, 0.5)),
    *(
        Condition(f"{sensor} {name}", ({**burst, **lie, "channels": [sensor]},))
        for sensor in sensors
        for name, lie in lies.items()
    ),
]

# 3. Measure.
measure = partial(evaluate, make_envs=make_envs, conditions=conditions, episodes=EPISODES)
policies: dict[str, AnyPolicy] = {"SAC": model, "by hand": by_hand}
results = {name: measure(policy, seed=SEED) for name, policy in policies.items()}

print(f"return of an episode, mean of {EPISODES}; how often a sensor was faulty\n")
print(f"{'':24}{'faulty':>8}" + "".join(f"{name:>10}" for name in results))
for row in zip(*results.values(), strict=True):
    condition, faulty = row[0].condition, row[0].realised_rate
    name = f"each missing at {condition.rate:.0%}" if condition.rate else condition.name
    print(f"{name:24}{faulty:8.0%}" + "".join(f"{one.returns.mean():10.0f}" for one in row))

# 4. Keep every episode, for statistics of your own.
with Path("robustness.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["policy", "condition", "rate", "episode", "return"])
    for policy, own in results.items():
        for one in own:
            for episode, total in enumerate(one.returns):
                writer.writerow(
                    [policy, one.condition.name, one.condition.rate, episode, round(total, 3)]
                )
print("\nwrote robustness.csv")
