"""Train a classifier, and use its encoder in a policy: one representation on both sides.

The classifier tells digits that are written and spoken. The policy turns a dial to 0; where the
dial stands it can only see (a written digit) and hear (a spoken one), and it reads both with the
classifier's encoder, as it is. Its own network has 3 actions and a few thousand weights.

    python examples/classifier_in_a_policy.py
"""

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

import mmrl_envs  # noqa: F401  registers mmrl/DigitDial-v0
from mmrl.data import load
from mmrl.data.sets import FILES
from mmrl.methods.gmc.fused import GMCFused, GMCFusedConfig
from mmrl.metrics.scores import subset_scores
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit
from mmrl_agents.acting import LatentPolicy
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.robustness import evaluate, rate_conditions, subset_conditions
from mmrl_agents.vec_env import GymnasiumVecEnv

STEPS = 300
TOTAL_TIMESTEPS, N_ENVS = 40_000, 32
SEED = 0


def make_envs(count: int, split: str = "train") -> VectorEnv:
    """So many dials, which show recordings of this split."""
    mode = AutoresetMode.SAME_STEP
    data = FILES / "avmnist.npz"
    return gym.make_vec(
        "mmrl/DigitDial-v0", count, autoreset_mode=mode, data=str(data), split=split
    )


# 1. A classifier of digits, seen and heard.
torch.set_num_threads(1)
torch.manual_seed(SEED)
data = load("avmnist")
classifier = GMCFused(data.modalities, GMCFusedConfig(outputs=data.outputs))
fit(classifier, data.train, FitConfig(steps=STEPS, lr=1e-3), seed=SEED)
for score in subset_scores(classifier.predict, data.test):
    if score.metric == "accuracy":
        print(f"digits told by {score.subset}: {score.value:.3f}")

# 2. A policy on its representation. Nothing else is needed than `encode`.
venv = LatentVecEnv(VecMonitor(GymnasiumVecEnv(make_envs(N_ENVS))), classifier)
model = PPO(
    "MlpPolicy",
    venv,
    learning_rate=1e-3,
    n_steps=64,
    batch_size=256,
    n_epochs=5,
    gamma=0.95,
    policy_kwargs={"net_arch": [64, 64]},
    seed=SEED,
)
model.learn(TOTAL_TIMESTEPS)

# 3. With recordings that neither has met, and sensors that are gone.
sensors = ["image", "sound"]
results = evaluate(
    LatentPolicy(classifier, model),
    lambda count: make_envs(count, "test"),
    [*subset_conditions(sensors), *rate_conditions(sensors, (0.3,))],
    episodes=200,
    seed=SEED,
)
print("\nmean reward per step: 0 on the goal, -1 at the opposite digit, -0.5 at random")
for result in results:
    rate = f" missing at {result.condition.rate:.0%}" if result.condition.rate else ""
    print(f"  {result.condition.name + rate:24}{result.rewards.mean():7.3f}")
