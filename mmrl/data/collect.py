"""Collecting observations from an environment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmrl.data.arrays import ArrayData
from mmrl.data.states import join_states, told_state
from mmrl.modality import Modality

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

CHUNK = 1024
"""Samples that are held unpacked."""

Policy = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
"""From a batch of observations to a batch of actions."""


def collect(
    envs: VectorEnv[Any, Any, Any],
    samples: int,
    *,
    seed: int,
    restart_every: int | None = None,
    policy: Policy | None = None,
    kinds: Mapping[str, str] | None = None,
    shared_scale: Collection[str] = (),
    partial: Mapping[str, str] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ArrayData:
    """Collects observations under uniformly random actions, or under a policy.

    One sub-environment without restarts is the single uninterrupted trajectory of GMC's pendulum.
    Restarts from the reset distribution cover the states in which a good policy will live, which a
    random one leaves and never finds again.

    Args:
        envs: A vector environment whose observations are a Dict of sensors.
        samples: How many observations, over all sub-environments.
        seed: Seed of the environments and of the random actions.
        restart_every: All sub-environments are reset after so many steps; None never does (episodes
            that end are reset by the vector environment itself).
        policy: Gives the actions; None draws them from the action space.
        kinds: Kinds of modalities that are not what their shape says, see `Modality.from_space`.
        shared_scale: Modalities whose numbers are all of one unit, see `Modality`.
        partial: What readings without some of their numbers are, see `Modality`.
        on_progress: Called with the number of samples so far.

    Returns:
        The observations. Where an environment's info has a `state` that is a finite vector of
        numbers, this is the target; NaN in samples where it is not.

    Raises:
        TypeError: The observation space is no Dict of sensors.
        ValueError: `samples` or `restart_every` is not positive.
    """
    if samples < 1 or (restart_every is not None and restart_every < 1):
        raise ValueError(f"samples and restart_every must be positive: {samples}, {restart_every}")
    modalities = Modality.from_space(envs.single_observation_space, kinds, shared_scale, partial)
    envs.action_space.seed(seed)
    parts: list[ArrayData] = []
    chunk: list[Mapping[str, NDArray[Any]]] = []
    states = []
    steps = -(-samples // envs.num_envs)
    for step in range(steps):
        if step == 0:
            observations, info = envs.reset(seed=seed)
        elif restart_every is not None and step % restart_every == 0:
            observations, info = envs.reset()
        else:
            actions = envs.action_space.sample() if policy is None else policy(observations)
            observations, _, _, _, info = envs.step(actions)
        chunk.append(observations)
        states.append(told_state(info))
        if len(chunk) * envs.num_envs >= CHUNK or step == steps - 1:
            parts.append(_stack(chunk, modalities))
            chunk.clear()
            if on_progress is not None:
                on_progress(min(samples, (step + 1) * envs.num_envs))
    data = ArrayData.concatenate(parts)
    data.target = join_states(states, envs.num_envs)
    return data if len(data) == samples else data.subset(np.arange(samples))


def _stack(chunk: list[Mapping[str, NDArray[Any]]], modalities: tuple[Modality, ...]) -> ArrayData:
    values = {m.name: np.concatenate([seen[m.name] for seen in chunk]) for m in modalities}
    return ArrayData(values, modalities).packed()
