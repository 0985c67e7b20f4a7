"""A policy with a belief: what is known is used as it is, what is missing is filled in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from mmrl_agents.acting import LatentPolicy, PolicyMemory
from mmrl_agents.belief.network import BeliefNetwork, Evidence, Guess
from mmrl_agents.belief.senses import Senses
from mmrl_agents.belief.sight import Sight
from mmrl_agents.belief.teacher import Teacher
from mmrl_agents.latent import Observation
from mmrl_agents.monitor.monitor import SensorMonitor

AUTO, ESTIMATE, ACTION = "auto", "estimate", "action"


class Believer:
    """A belief network with its state, for a batch of environments.

    Args:
        network: What estimates.
        teacher: The policy that acts.
        senses: What the network gets.
    """

    def __init__(self, network: BeliefNetwork, teacher: Teacher, senses: Senses) -> None:
        self.network, self.teacher, self.senses = network, teacher, senses
        self._state = torch.zeros(0, network.sizes.hidden)
        self._features = self._state
        self._previous: NDArray[np.float32] = np.zeros((0, network.sizes.actions), np.float32)

    @torch.no_grad()
    def take_in(
        self,
        latents: Float[np.ndarray, "envs latent"],
        readings: Float[np.ndarray, "envs readings"],
        available: Bool[np.ndarray, "envs sensors"],
        first: Bool[np.ndarray, " envs"],
    ) -> None:
        """Takes in a step; `first` says where an episode has just started."""
        device = self.network.start.device
        if len(self._previous) != len(first):
            self._state = torch.zeros(len(first), self.network.sizes.hidden, device=device)
            self._previous = np.zeros((len(first), self.network.sizes.actions), np.float32)
        self._previous[first] = 0.0
        readable = self.senses.readable(available)
        arrays = (latents, readings, readable, available, self._previous)
        evidence = Evidence(*(torch.as_tensor(array, device=device) for array in arrays))
        self._features = self.network.features(evidence)
        start = torch.as_tensor(first, device=device)
        self._state = self.network.step(self._state, self._features, start)

    @torch.no_grad()
    def guess(self) -> Guess:
        """What the belief makes of all that it took in."""
        return self.network.guess(self._state, self._features)

    def acted(self, actions: NDArray[Any]) -> None:
        """Tells which actions were executed."""
        self._previous = self.teacher.features(actions)

    @property
    def previous(self) -> NDArray[np.float32]:
        """The executed actions as the network gets them."""
        return self._previous


class BeliefPolicy:
    """Acts through a policy, on what is there and on what a belief makes of the rest.

    With every sensor that the policy needs, its actions are those of the policy alone, bit for bit.

    Args:
        sight: What the policy sees; it holds the policy.
        believer: The belief.
        head: What acts while the policy lacks something, see `BeliefConfig`.
    """

    def __init__(self, sight: Sight, believer: Believer, head: str = AUTO) -> None:
        self.sight, self.believer = sight, believer
        self.head = head if sight.fills else ACTION
        self.memory: PolicyMemory[Any] = sight.acting.memory

    @property
    def fills_gaps(self) -> bool:
        """See `FillsGaps`: where the policy does without a belief."""
        return self.sight.acting.fills_gaps

    def act(self, observations: Observation, first: Bool[np.ndarray, " envs"]) -> NDArray[Any]:
        """See `Acting`; the returned actions are taken for the executed ones."""
        senses = self.believer.senses
        values, available = senses.clean(observations)
        if (monitor := self._monitor()) is not None:
            tensors = {name: torch.as_tensor(value) for name, value in values.items()}
            available = monitor.look(tensors, available, first)
        latents = senses.latents(values, available)
        numbers = self.sight.numbers(values, available, latents)
        self.believer.take_in(latents, senses.readings(values), available, first)
        lacking = ~self.sight.complete(available)
        guess = self.believer.guess() if lacking.any() else None
        if guess is not None:
            estimates = guess.numbers.cpu().numpy()
            numbers = np.where(self.sight.known(available), numbers, estimates)
        actions = self.memory.predict(self.sight.policy_input(values, available, numbers), first)
        if guess is not None and (chosen := lacking & self.head_acts(guess)).any():
            own = self.believer.teacher.actions(guess.outputs.cpu().numpy())
            actions = np.where(chosen.reshape(-1, *[1] * (actions.ndim - 1)), own, actions)
        self.believer.acted(actions)
        if monitor is not None:
            monitor.acted(actions)
        return actions

    def _monitor(self) -> SensorMonitor | None:
        acting = self.sight.acting
        return acting.latents.monitor if isinstance(acting, LatentPolicy) else None

    def head_acts(self, guess: Guess) -> NDArray[np.bool_]:
        """In which environments the action head would act, (envs,)."""
        if self.head == AUTO:
            return np.asarray((guess.doubt[:, 1] < guess.doubt[:, 0]).cpu().numpy())
        return np.full(len(guess.doubt), self.head == ACTION)
