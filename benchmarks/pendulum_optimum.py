"""The optimum of the pendulum by dynamic programming, and the regret of runs from the same starts.

    python benchmarks/pendulum_optimum.py                      the optimum over 1,000 starts
    python benchmarks/pendulum_optimum.py outputs/latest ...   and what runs lose against it

Value iteration over 300 steps, undiscounted, on a grid of angle and angular velocity:
V_k(s) = max_u r(s, u) + V_{k-1}(f(s, u)), bilinear in between. NumPy only, some seconds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrl.control.config import from_mapping
from mmrl.control.envs import make_envs
from mmrl.report.results import BERNOULLI, REWARD_PER_STEP, ROBUSTNESS, read_results
from mmrl.runs.folder import RunFolder
from mmrl.runs.seeding import EPISODES, stream
from mmrl_agents.robustness import Condition, evaluate

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

STEPS = 300
MAX_SPEED = 8.0
ANGLES, SPEEDS, TORQUES = 240, 241, 17
FINE_TORQUES = 81


def step(theta: Floats, speed: Floats, torque: Floats | float) -> tuple[Floats, Floats, Floats]:
    """The dynamics and the reward, in the paper's order."""
    angle = (theta + np.pi) % (2 * np.pi) - np.pi
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * np.square(torque))
    new_speed = speed + (-15 * np.sin(theta + np.pi) + 3 * torque) * 0.05
    return theta + 0.05 * new_speed, np.clip(new_speed, -MAX_SPEED, MAX_SPEED), reward


@dataclass(frozen=True)
class Corners:
    """Where states lie on the grid: flat indices of the four corners around each, and weights."""

    indices: tuple[Indices, Indices, Indices, Indices]
    weights: tuple[Floats, Floats, Floats, Floats]

    @classmethod
    def around(cls, theta: Floats, speed: Floats) -> Corners:
        """Corners around states; angles are periodic."""
        x = ((theta + np.pi) / (2 * np.pi) * ANGLES) % ANGLES
        y = (speed + MAX_SPEED) / (2 * MAX_SPEED) * (SPEEDS - 1)
        i, j = np.floor(x).astype(np.int64), np.minimum(y.astype(np.int64), SPEEDS - 2)
        a, b = x - i, y - j
        low, high = (i % ANGLES) * SPEEDS + j, ((i + 1) % ANGLES) * SPEEDS + j
        weights = ((1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b)
        return cls((low, low + 1, high, high + 1), weights)

    def interpolate(self, value: Floats) -> Floats:
        """A function on the grid at these states."""
        flat = value.ravel()
        parts = [w * flat[i] for i, w in zip(self.indices, self.weights, strict=True)]
        return np.sum(parts, axis=0)  # type: ignore[no-any-return]


class Optimum:
    """The best that a torque up to `limit` can do in 300 steps.

    Args:
        limit: Greatest torque.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        # The grid holds the upright angle exactly: the optimum stays there.
        angles = -np.pi + 2 * np.pi * np.arange(ANGLES) / ANGLES
        theta, speed = np.meshgrid(angles, np.linspace(-8, 8, SPEEDS), indexing="ij")
        moves = []
        for torque in np.linspace(-limit, limit, TORQUES):
            next_theta, next_speed, reward = step(theta, speed, torque)
            moves.append((reward, Corners.around(next_theta, next_speed)))
        value = np.zeros((ANGLES, SPEEDS))
        for _ in range(STEPS):
            value = np.max([r + corners.interpolate(value) for r, corners in moves], axis=0)
        self.value = value

    def act(self, theta: Floats, speed: Floats) -> Floats:
        """Best torque by one step of look-ahead, finer than the grid's."""
        torques = np.linspace(-self.limit, self.limit, FINE_TORQUES)[:, None]
        next_theta, next_speed, reward = step(theta[None], speed[None], torques)
        worth = reward + Corners.around(next_theta, next_speed).interpolate(self.value)
        return np.asarray(torques[np.argmax(worth, axis=0), 0])

    def rewards(self, state: Floats, gain: float = 1.0) -> Floats:
        """Mean reward per step from each start (n, 2), executing `gain` times the best torque."""
        theta, speed = state.T
        total = np.zeros(len(state))
        for _ in range(STEPS):
            theta, speed, reward = step(theta, speed, gain * self.act(theta, speed))
            total += reward
        return total / STEPS


class Nothing:
    """An agent that applies no torque."""

    def act(self, observations: Any, first: NDArray[np.bool_]) -> NDArray[Any]:
        """Zeros."""
        return np.zeros((len(first), 1), np.float32)


def starts_of(run: RunFolder) -> tuple[Floats, float]:
    """The starts of a run's evaluation, and the torque that its policy could use."""
    config = from_mapping(run.config)
    (result,) = evaluate(
        Nothing(),
        lambda n: make_envs(config.env, n),
        [Condition("none")],
        episodes=config.evaluate.episodes,
        n_envs=config.evaluate.n_envs,
        seed=stream(config.seed, EPISODES),
    )
    own = float(config.env.kwargs.get("max_torque", 2.0))
    limit = 1.0 if config.agent.action_rule == "paper" else own
    return np.asarray(result.starts["state"], np.float64), limit


def _print_rewards(name: str, rewards: Floats) -> None:
    print(f"{name}: {rewards.mean():.3f} per step, std {rewards.std():.2f}, {len(rewards)} starts")


def main() -> None:
    """Prints the optimum, and the regret of every condition of every run."""
    parser = argparse.ArgumentParser(description="optimum of the pendulum, and regret of runs")
    parser.add_argument("runs", type=Path, nargs="*")
    arguments = parser.parse_args()
    optima = {limit: Optimum(limit) for limit in (2.0, 1.0)}
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.uniform(-np.pi, np.pi, 1000), rng.uniform(-1, 1, 1000)], axis=1)
    drawn = np.stack(step(drawn[:, 0], drawn[:, 1], 0.0)[:2], axis=1)
    for limit, optimum in optima.items():
        _print_rewards(f"torque up to {limit:g}", optimum.rewards(drawn))
    # The paper's rule trains with the double of what it evaluates: the best that it can teach.
    _print_rewards("best for torque up to 2, executed at half", optima[2.0].rewards(drawn, 0.5))
    regrets: dict[str, list[float]] = defaultdict(list)
    for path in arguments.runs:
        run = RunFolder.open(path)
        starts, limit = starts_of(run)
        if limit not in optima:
            optima[limit] = Optimum(limit)
        best_mean = float(optima[limit].rewards(starts).mean())
        print(f"{path}: optimum from its {len(starts)} starts {best_mean:.3f}")
        for result in read_results(path / f"{ROBUSTNESS}.json"):
            if result.metric != REWARD_PER_STEP:
                continue
            name = result.condition + f" {result.rate:g}" * (result.condition == BERNOULLI)
            regret = best_mean - result.mean
            regrets[name].append(regret)
            print(f"  {name:>16}: {result.mean:>8.3f} regret {regret:.3f}")
    if len(arguments.runs) > 1:
        print(f"regret over {len(arguments.runs)} runs")
        for name, values in regrets.items():
            print(f"  {name:>16}: mean {np.mean(values):.3f}, worst {np.max(values):.3f}")


if __name__ == "__main__":
    main()
