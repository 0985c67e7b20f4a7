"""How well an agent acts while its sensors fail: the same starts under every condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from jaxtyping import Float, Int
from numpy.typing import NDArray

from mmrl.modality import AVAILABLE
from mmrl.subsets import chosen_subsets
from mmrl_agents.acting import Acting, FillsGaps
from mmrl_agents.policies import AnyPolicy, as_acting
from mmrl_envs import VectorSensorDropout
from mmrl_envs.faults import make_faults
from mmrl_envs.faults.process import FILL, MISSING

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BERNOULLI = "bernoulli"
MAX_STEPS = 1_000
"""After which an episode is cut off in an environment that was registered without a time limit."""

MakeEnvs = Callable[[int], VectorEnv[Any, Any, Any]]
OnStep = Callable[[NDArray[np.bool_], NDArray[np.bool_]], None]
"""Takes which channels are faulty, (envs, channels), told or not, and which episodes still run."""


@dataclass(frozen=True)
class Condition:
    """How sensors fail while an agent is evaluated.

    Args:
        name: For tables.
        faults: Specifications, see `mmrl_envs.faults.make_faults`.
        rate: Nominal share of steps at which a sensor is missing, where that is the point.
        keep_at_least: Sensors that are always left.
    """

    name: str
    faults: tuple[Mapping[str, Any], ...] = ()
    rate: float = 0.0
    keep_at_least: int = 0


@dataclass(frozen=True)
class ConditionResult:
    """What an agent reached under one condition, by episode.

    Attributes:
        condition: The condition.
        returns: Sum of rewards.
        lengths: Number of steps.
        missing: Share of observations in which each channel was missing, as `available` told, over
            all episodes.
        faulty: Share in which it was faulty, told or not.
        starts: What the environment's infos said at the start, (episodes, ...) by name.
        cut_off: How many episodes had not ended when they were cut off.
    """

    condition: Condition
    returns: Float[np.ndarray, " episodes"]
    lengths: Int[np.ndarray, " episodes"]
    missing: dict[str, float]
    faulty: dict[str, float]
    starts: dict[str, NDArray[Any]] = field(default_factory=dict)
    cut_off: int = 0

    @property
    def rewards(self) -> Float[np.ndarray, " episodes"]:
        """Mean reward per step of every episode."""
        rewards: NDArray[np.float64] = self.returns / self.lengths
        return rewards

    @property
    def missing_rate(self) -> float:
        """Share of (observation, channel) pairs that were missing, as `available` told."""
        return float(np.mean(list(self.missing.values())))

    @property
    def realised_rate(self) -> float:
        """Share of (observation, channel) pairs that were faulty, told or not."""
        return float(np.mean(list(self.faulty.values())))


def subset_conditions(channels: Sequence[str], choice: Any = None) -> list[Condition]:
    """Some sensors work, the others are always missing.

    Args:
        channels: The sensors.
        choice: Which subsets, see `mmrl.subsets.chosen_subsets`; all of them, unless there are
            many.

    Example:
        >>> [condition.name for condition in subset_conditions(["image", "sound"])]
        ['image+sound', 'image', 'sound']
    """
    conditions = []
    for subset in chosen_subsets(channels, choice):
        lost = [name for name in channels if name not in subset]
        faults = ({"pattern": "fixed", "channels": lost},) if lost else ()
        conditions.append(Condition("+".join(subset), faults))
    return conditions


def rate_conditions(
    channels: Sequence[str], rates: Sequence[float] = RATES, keep_at_least: int = 0
) -> list[Condition]:
    """Every sensor missing at each step on its own, with the same probability.

    Args:
        channels: The sensors.
        rates: Probabilities, each in [0, 1).
        keep_at_least: Sensors that are always left. With more than 0 the share that is really
            missing falls behind the nominal rate; with 0 all may be missing at once.

    Example:
        >>> [(c.name, c.rate) for c in rate_conditions(["image", "sound"], (0.0, 0.5))]
        [('bernoulli', 0.0), ('bernoulli', 0.5)]
    """
    return [
        Condition(
            BERNOULLI,
            ({"pattern": "bernoulli", "rate": rate, "channels": list(channels)},) if rate else (),
            rate,
            keep_at_least,
        )
        for rate in rates
    ]


def evaluate(
    agent: AnyPolicy,
    make_envs: MakeEnvs,
    conditions: Iterable[Condition],
    *,
    episodes: int,
    seed: int,
    n_envs: int = 100,
    max_steps: int | None = None,
    on_episodes: Callable[[int], None] | None = None,
    on_step: OnStep | None = None,
) -> list[ConditionResult]:
    """Runs the same episodes under every condition.

    Episode i starts from the same state everywhere: environments get the same seeds, and faults
    draw from streams of their own. Of each environment only the first episode counts.

    Args:
        agent: What acts: an agent of `mmrl.load`, a model of Stable-Baselines3 on a Dict
            observation, a function from observations to actions, see `policies.as_acting`.
        make_envs: Makes so many environments, stepped at once, whose sensors do not fail yet, as
            `lambda n: gymnasium.make_vec(id, n)`.
        conditions: How sensors fail.
        episodes: Per condition.
        seed: Seed of starts and faults.
        n_envs: Episodes that run at once.
        max_steps: After so many steps an episode is cut off. None: after those that the environment
            was registered with, or, without a time limit, after `MAX_STEPS`.
        on_episodes: Called with the number of episodes finished since the last call.
        on_step: Called after every choice of actions.

    Raises:
        TypeError: What acts is no policy, or the observation is no Dict.
        ValueError: No episodes, or a fault that names a channel which does not exist.

    Example:
        >>> import gymnasium
        >>> results = evaluate(
        ...     lambda observation: np.zeros((len(observation["image"]), 1), np.float32),
        ...     lambda n: gymnasium.make_vec("mmrl/MultimodalPendulum-v0", n),
        ...     subset_conditions(["image", "sound"]),
        ...     episodes=2,
        ...     seed=0,
        ... )
        >>> [result.condition.name for result in results]
        ['image+sound', 'image', 'sound']
        >>> len({float(result.returns.sum()) for result in results})  # it looks at nothing
        1
    """
    acting = as_acting(agent)
    if episodes < 1 or n_envs < 1:
        raise ValueError(f"episodes and n_envs must be at least 1, got {episodes} and {n_envs}")
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")
    report = on_episodes or (lambda _: None)
    sizes = [min(n_envs, episodes - start) for start in range(0, episodes, n_envs)]
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(len(sizes))]
    results: list[ConditionResult] = []
    for condition in conditions:
        known = next((r for r in results if r.condition.faults == condition.faults == ()), None)
        if known is not None:
            results.append(replace(known, condition=condition))
            report(episodes)
            continue
        parts = []
        for size, batch_seed in zip(sizes, seeds, strict=True):
            envs = make_envs(size)
            limit = max_steps or _time_limit(envs) or MAX_STEPS
            parts.append(_run(acting, envs, condition, batch_seed, limit, on_step))
            report(size)
        results.append(_join(parts))
    return results


def _run(
    agent: Acting,
    envs: VectorEnv[Any, Any, Any],
    condition: Condition,
    seed: int,
    max_steps: int,
    on_step: OnStep | None,
) -> ConditionResult:
    """One episode in each environment."""
    channels = list(envs.single_observation_space.spaces)  # type: ignore[attr-defined]
    failing = VectorSensorDropout(
        envs,
        make_faults(condition.faults),
        keep_at_least=condition.keep_at_least,
        partial=FILL if isinstance(agent, FillsGaps) and agent.fills_gaps else MISSING,
    )
    observations, infos = failing.reset(seed=seed)
    starts = {name: np.array(v) for name, v in infos.items() if _is_fact(name, v)}
    count = envs.num_envs
    running = np.ones(count, np.bool_)
    first = np.ones(count, np.bool_)
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    missing, faulty, seen = np.zeros(len(channels)), np.zeros(len(channels)), 0
    for _ in range(max_steps):
        missing += (1 - observations[AVAILABLE][running]).sum(axis=0)
        faulty += infos["faulty"][running].sum(axis=0)
        seen += int(running.sum())
        actions = agent.act(observations, first)
        if on_step is not None:
            on_step(infos["faulty"], running)
        observations, rewards, terminated, truncated, infos = failing.step(actions)
        returns[running] += rewards[running]
        lengths[running] += 1
        first = np.logical_or(terminated, truncated)
        running &= ~first
        if not running.any():
            break
    failing.close()
    told = dict(zip(channels, (missing / seen).tolist(), strict=True))
    realised = dict(zip(channels, (faulty / seen).tolist(), strict=True))
    left = int(running.sum())
    return ConditionResult(condition, returns, lengths, told, realised, starts, left)


def _time_limit(envs: VectorEnv[Any, Any, Any]) -> int | None:
    spec = envs.unwrapped.spec
    return None if spec is None else spec.kwargs.get("max_episode_steps", spec.max_episode_steps)


def _join(parts: Sequence[ConditionResult]) -> ConditionResult:
    """Episodes of several batches as one result."""
    weights = np.array([part.lengths.sum() for part in parts], np.float64)

    def mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
        return {
            name: float(np.average([share[name] for share in shares], weights=weights))
            for name in shares[0]
        }

    return ConditionResult(
        parts[0].condition,
        np.concatenate([part.returns for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        mean([part.missing for part in parts]),
        mean([part.faulty for part in parts]),
        {
            name: np.concatenate([part.starts[name] for part in parts])
            for name in parts[0].starts
            if all(name in part.starts for part in parts)
        },
        sum(part.cut_off for part in parts),
    )


def _is_fact(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, np.ndarray) and value.dtype.kind != "O"
