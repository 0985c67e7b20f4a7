"""Pretrain GMC on an environment, and train a policy of your own on what it represents.

The policy is Stable-Baselines3's, with its own callbacks, evaluation, saving and loading: an
encoder at the environment's side is all that is added. The pendulum is seen (a small image) and
heard; after training, either sensor is taken away.

    python examples/train_your_own_sac.py
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

import mmrl_envs  # noqa: F401  registers mmrl/MultimodalPendulum-v0
from mmrl import checkpoint
from mmrl.data import collect
from mmrl.methods import Method
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.vec_env import GymnasiumVecEnv
from mmrl_envs import VectorSensorDropout

ENV = "mmrl/MultimodalPendulum-v0"
# A small image and a strong motor, so that a minute suffices.
EASY: dict[str, Any] = {"image_size": 24, "max_torque": 8.0}
SAMPLES, PRETRAINING_STEPS = 6000, 400
TOTAL_TIMESTEPS, N_ENVS = 12_000, 16
FOLDER = Path("my_sac")
SEED = 0


def make_envs(count: int) -> VectorEnv:
    """So many pendulums, which restart in the step in which an episode ends, as SB3 wants it."""
    return gym.make_vec(ENV, count, autoreset_mode=AutoresetMode.SAME_STEP, **EASY)


def on_latents(envs: VectorEnv, encoder: Method) -> VecEnv:
    """What the policy sees: the encoder's numbers instead of images and sounds."""
    return LatentVecEnv(VecMonitor(GymnasiumVecEnv(envs)), encoder)


class PrintReward(BaseCallback):
    """A callback of your own, as Stable-Baselines3 documents them."""

    def _on_step(self) -> bool:
        if self.num_timesteps % 4000 < self.training_env.num_envs and self.model.ep_info_buffer:
            rewards = [episode["r"] / episode["l"] for episode in self.model.ep_info_buffer]
            print(f"  {self.num_timesteps:6d} steps: {sum(rewards) / len(rewards):6.2f} per step")
        return True


torch.set_num_threads(1)
torch.manual_seed(SEED)
FOLDER.mkdir(exist_ok=True)

# 1. Observations under random actions; starts are drawn anew every 50 steps.
data = collect(make_envs(50), SAMPLES, seed=SEED, restart_every=50)

# 2. An encoder of any subset of the sensors, without rewards or labels.
encoder = GMC(data.modalities, GMCConfig(latent_dim=10))
print(encoder)
result = fit(encoder, data, FitConfig(steps=PRETRAINING_STEPS, lr=3e-3), seed=SEED)
print(f"pretrained for {result.steps} steps, loss {result.losses['loss']:.2f}")
checkpoint.save(encoder, FOLDER)

# 3. Stable-Baselines3 as it is. The replay buffer holds ten numbers per step, no images.
model = SAC(
    "MlpPolicy",
    on_latents(make_envs(N_ENVS), encoder),
    learning_rate=2e-3,
    gamma=0.98,
    batch_size=128,
    gradient_steps=4,
    learning_starts=1000,
    policy_kwargs={"net_arch": [64, 64]},
    seed=SEED,
)
evaluation = EvalCallback(
    on_latents(make_envs(10), encoder),
    n_eval_episodes=10,
    eval_freq=TOTAL_TIMESTEPS // N_ENVS // 4,
    best_model_save_path=str(FOLDER),
    verbose=0,
)
model.learn(TOTAL_TIMESTEPS, callback=[PrintReward(), evaluation])
model.save(FOLDER / "sac.zip")

# 4. Load both again, and take sensors away.
loaded = checkpoint.load(FOLDER)
model = SAC.load(FOLDER / "sac.zip")
for lost in ([], ["image"], ["sound"]):
    faults = [{"pattern": "fixed", "channels": lost}] if lost else []
    envs = on_latents(VectorSensorDropout(make_envs(20), faults), loaded)
    envs.seed(SEED)
    returns, lengths = evaluate_policy(model, envs, 20, return_episode_rewards=True)
    reward = np.sum(returns) / np.sum(lengths)
    print(f"without {' and '.join(lost) or 'nothing'}: {reward:.2f} per step")
