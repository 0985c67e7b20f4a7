"""What a belief learns from: roll-outs of the policy and of the belief itself, with noise.

The belief acts more and more of the time, so that it meets the states to which it leads, and the
policy says what it would have done there (DAgger: Ross, Gordon, Bagnell, "A Reduction of Imitation
Learning and Structured Prediction to No-Regret Online Learning", 2011,
https://arxiv.org/abs/1011.0686).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl.files import write_atomically
from mmrl_agents.actions import to_env
from mmrl_agents.belief.acting import ACTION, ESTIMATE, BeliefPolicy
from mmrl_agents.belief.masks import draw_masks
from mmrl_agents.belief.teacher import Teacher
from mmrl_envs.faults.fault import Fault

CHUNK = 25
"""Steps after which it is drawn anew who acts, and with how much noise."""
FAILING = 125
"""Steps after which sensors fail in another way."""
TEACHER, BY_ESTIMATE, BY_HEAD = range(3)


@dataclass(frozen=True)
class RollOut:
    """What happened in some environments; nothing was missing in what is kept.

    Args:
        latents: Latents of every subset of the sensors that are looked at.
        readings: Numbers of the sensors that are read.
        numbers: What the policy sees.
        targets: Its outputs on that.
        previous: The executed action before, zeros at an episode's start.
        first: Where an episode starts.
    """

    latents: Float[np.ndarray, "steps envs subsets latent"]
    readings: Float[np.ndarray, "steps envs readings"]
    numbers: Float[np.ndarray, "steps envs numbers"]
    targets: Float[np.ndarray, "steps envs outputs"]
    previous: Float[np.ndarray, "steps envs outputs"]
    first: Bool[np.ndarray, "steps envs"]

    @classmethod
    def joined(cls, parts: Sequence[RollOut]) -> RollOut:
        """Several of the same length side by side."""
        names = [f.name for f in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts], axis=1) for n in names})

    def save(self, path: Path) -> None:
        """Writes an npz file, whole or not at all."""
        content = BytesIO()
        np.savez(content, **{f.name: getattr(self, f.name) for f in fields(self)})
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> RollOut:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[name] for name in file.files})


class RollingOut:
    """Makes roll-outs in one vector environment.

    Args:
        envs: Environments whose sensors do not fail; resets in the step in which an episode ends.
        policy: The policy and the belief, which is being trained.
        teacher: The policy.
        noise: Range of the standard deviations of noise, see `BeliefConfig`.
        own: The run's own faults.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        policy: BeliefPolicy,
        teacher: Teacher,
        noise: tuple[float, ...],
        own: Sequence[Fault] = (),
    ) -> None:
        self.envs, self.policy, self.teacher = envs, policy, teacher
        self.noise, self.own = noise, own
        self.returns: list[float] = []

    def roll_out(self, steps: int, seed: int, teacher_share: float) -> RollOut:
        """Acts for a number of steps from fresh starts.

        Args:
            steps: Steps of each environment.
            seed: Seed of starts, faults, noise and who acts.
            teacher_share: Share of the chunks in which the policy acts on complete input.
        """
        rng = np.random.default_rng(seed)
        count = self.envs.num_envs
        observations, _ = self.envs.reset(seed=int(rng.integers(2**31)))
        first = np.ones(count, np.bool_)
        self.returns, totals = [], np.zeros(count)
        kept: dict[str, list[NDArray[Any]]] = {f.name: [] for f in fields(RollOut)}
        for step in range(steps):
            if step % FAILING == 0:
                names = self.policy.sight.sensors
                masks = draw_masks(FAILING, count, names, rng, self.own)
            if step % CHUNK == 0:
                who = self._who(count, teacher_share, rng)
                spread = rng.uniform(self.noise[0], self.noise[1], count) * (
                    rng.random(count) < 0.5
                )
            row, actions = self._look(observations, masks[step % FAILING], first, who)
            for name, values in row.items():
                kept[name].append(values)
            executed = self._disturbed(actions, spread, rng)
            self.policy.believer.acted(executed)
            observations, rewards, terminated, truncated, _ = self.envs.step(executed)
            first = np.logical_or(terminated, truncated)
            totals += rewards
            self.returns += totals[first].tolist()
            totals[first] = 0.0
        return RollOut(**{name: np.stack(values) for name, values in kept.items()})

    def _who(self, count: int, teacher_share: float, rng: np.random.Generator) -> NDArray[Any]:
        heads = rng.integers(BY_ESTIMATE, BY_HEAD + 1, size=count)
        if self.policy.head in (ESTIMATE, ACTION):
            heads[:] = BY_ESTIMATE if self.policy.head == ESTIMATE else BY_HEAD
        return np.where(rng.random(count) < teacher_share, TEACHER, heads)

    def _look(
        self,
        observations: Mapping[str, NDArray[Any]],
        mask: NDArray[np.bool_],
        first: NDArray[np.bool_],
        who: NDArray[Any],
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
        """What is kept of a step, and what is done without noise."""
        sight, believer = self.policy.sight, self.policy.believer
        senses, memory, rows = believer.senses, self.policy.memory, np.arange(len(first))
        values, there = senses.clean(observations)
        available = mask & there
        latents, readings = senses.every_latent(values), senses.readings(values)
        numbers = sight.numbers(values, there, latents[:, -1])
        given = sight.policy_input(values, there, numbers)
        with torch.no_grad():
            tensors, _ = memory.policy.obs_to_tensor(given)
            targets = self.teacher.outputs(tensors).cpu().numpy()
        actions = memory.predict(given, first)
        chosen = latents[rows, senses.subset(available)]
        believer.take_in(chosen, readings, available, first)
        guess = believer.guess()
        row = {
            "latents": latents,
            "readings": readings,
            "numbers": numbers,
            "targets": targets,
            "previous": believer.previous.copy(),
            "first": first,
        }
        shape = (-1, *[1] * (actions.ndim - 1))
        if (who == BY_ESTIMATE).any():
            filled = np.where(sight.known(available), numbers, guess.numbers.cpu().numpy())
            guessed = memory.predict(sight.assemble(filled), first)
            actions = np.where((who == BY_ESTIMATE).reshape(shape), guessed, actions)
        if (who == BY_HEAD).any():
            own = self.teacher.actions(guess.outputs.cpu().numpy())
            actions = np.where((who == BY_HEAD).reshape(shape), own, actions)
        return row, actions

    def _disturbed(
        self, actions: NDArray[Any], spread: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[Any]:
        space = self.envs.single_action_space
        if isinstance(space, spaces.Discrete):
            random = rng.integers(space.n, size=len(actions)) + space.start
            return np.where(rng.random(len(actions)) < spread, random, actions).astype(space.dtype)
        assert isinstance(space, spaces.Box)
        width = (space.high.astype(np.float64) - space.low) / 2
        scale = np.where(np.isfinite(width), width, 1.0)
        noise = rng.normal(size=actions.shape) * spread.reshape(-1, *[1] * len(space.shape))
        return to_env(actions + noise * scale, space)
