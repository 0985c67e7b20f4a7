"""Training of a belief: rounds of roll-outs, updates between them, resumable after a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm

from mmrl.checkpoint import CheckpointError
from mmrl.files import read_bytes, write_atomically
from mmrl.methods.method import Method
from mmrl.weights import MOST, load_tensors
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.belief.acting import BeliefPolicy, Believer
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.belief.network import BeliefNetwork, Sizes
from mmrl_agents.belief.rollouts import RollingOut, RollOut
from mmrl_agents.belief.senses import Senses
from mmrl_agents.belief.sight import Sight
from mmrl_agents.belief.teacher import Teacher
from mmrl_agents.belief.windows import draw_windows, fill_in_errors, losses
from mmrl_envs.faults.fault import Fault

STATE = "belief.pt"
CLIP_NORM = 1.0
TESTED = 64
"""Windows on which errors are measured after each block."""

Envs = VectorEnv[Any, Any, Any]
OnBlock = Callable[[int, int, Mapping[str, float]], None]
"""Takes environment steps and updates so far, and what was measured."""


@dataclass(frozen=True)
class Task:
    """What a belief learns for.

    Args:
        sight: What the policy sees.
        teacher: The policy.
        senses: What the belief gets.
        faults: The run's own.
        device: Where the belief is trained.
    """

    sight: Sight
    teacher: Teacher
    senses: Senses
    faults: Sequence[Fault] = ()
    device: torch.device | str = "cpu"

    @classmethod
    def of(
        cls,
        acting: LatentPolicy | ObservationPolicy,
        sensors: Mapping[str, spaces.Space[Any]],
        encoder: Method | None = None,
        *,
        faults: Sequence[Fault] = (),
        device: torch.device | str = "cpu",
    ) -> Task:
        """What a belief learns for a policy.

        Args:
            acting: The policy as it acts without a belief.
            sensors: A space for each sensor of the environment.
            encoder: Represents images for the belief; a policy on latents has its own.
            faults: The run's own.
            device: Where the belief is trained.

        Raises:
            ValueError: The policy can have no belief.
        """
        encoder = acting.latents.encoder if isinstance(acting, LatentPolicy) else encoder
        sight, policy = Sight(acting, tuple(sensors)), acting.memory.policy
        network = policy.policy if isinstance(policy, BaseAlgorithm) else policy
        teacher = Teacher(network, acting.memory.action_space)
        senses = Senses(sensors, encoder, sight.on_latents)
        return cls(sight, teacher, senses, faults, device)

    def policy(self, network: BeliefNetwork, head: str) -> BeliefPolicy:
        """The policy with a belief."""
        return BeliefPolicy(self.sight, Believer(network, self.teacher, self.senses), head)


def train_belief(
    acting: LatentPolicy | ObservationPolicy,
    make_envs: Callable[[int], Envs],
    config: BeliefConfig,
    *,
    seed: int,
    encoder: Method | None = None,
) -> BeliefPolicy:
    """Teaches a belief to stand in for the missing sensors of any policy.

    Args:
        acting: The policy as it acts without a belief.
        make_envs: Makes so many environments whose sensors do not fail, and which reset in the
            step in which an episode ends.
        config: How the belief learns.
        seed: Seed of all that is random.
        encoder: Represents images for the belief; a policy on latents has its own.

    Raises:
        ValueError: The policy can have no belief.
    """
    one = make_envs(1)
    sensors: Any = one.single_observation_space
    one.close()
    task = Task.of(acting, sensors.spaces, encoder)
    return task.policy(BeliefTraining(task, config, seed).run(make_envs), config.head)


def new_network(task: Task, config: BeliefConfig, seed: int) -> BeliefNetwork:
    """An untrained belief; the global random stream of torch stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = Sizes(
            latent=task.senses.latent_dim,
            readings=task.senses.size,
            sensors=len(task.sight.sensors),
            actions=task.teacher.size,
            numbers=task.sight.size,
            hidden=config.hidden,
            bounded=task.teacher.bounded,
        )
        return BeliefNetwork(sizes).to(task.device)


class BeliefTraining:
    """Trains a belief in blocks; each begins with a round of roll-outs until all are made.

    All that is random in a block is drawn from the seed and the block's number, and environments
    start anew in each: a training that was killed goes on to the same result, bit for bit.

    Args:
        task: What the belief learns for.
        config: How it learns.
        seed: Seed of weights, roll-outs and windows.
        folder: Where the state is kept, and looked for; None: not at all.
    """

    def __init__(
        self, task: Task, config: BeliefConfig, seed: int, folder: Path | None = None
    ) -> None:
        self.task, self.config, self.seed, self.folder = task, config, seed, folder
        self.network = new_network(task, config, seed)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.rollouts: list[RollOut] = []
        self.block = 0
        blocks = config.rounds + max(1, config.rounds // 2)
        self.ends = [config.updates * (i + 1) // blocks for i in range(blocks)]
        if folder is not None and (folder / STATE).exists():
            self._read(folder)

    def run(
        self,
        make_envs: Callable[[int], Envs],
        advance: Callable[[int], None] = lambda _: None,
        on_block: OnBlock = lambda _, __, ___: None,
    ) -> BeliefNetwork:
        """Trains to the end.

        Args:
            make_envs: Makes so many environments whose sensors do not fail.
            advance: Takes how many updates are done.
            on_block: See `OnBlock`.
        """
        policy = self.task.policy(self.network, self.config.head)
        envs = make_envs(self.config.n_envs) if self.block < self.config.rounds else None
        while self.block < len(self.ends):
            facts: dict[str, float] = {}
            if envs is not None and self.block < self.config.rounds:
                facts |= self._roll_out(envs, policy)
            facts |= self._learn(advance)
            self.block += 1
            timesteps = len(self.rollouts) * self.config.steps * self.config.n_envs
            on_block(timesteps, self.ends[self.block - 1], facts)
            if self.folder is not None:
                self._write(self.folder)
        if envs is not None:
            envs.close()
        return self.network.eval()

    def _roll_out(self, envs: Envs, policy: BeliefPolicy) -> dict[str, float]:
        """The teacher acts in the first round, and in the first quarter of them now and then."""
        config = self.config
        share = max(0.0, 1.0 - 4 * self.block / config.rounds) if self.block else 1.0
        rolling = RollingOut(envs, policy, self.task.teacher, config.noise, self.task.faults)
        made = rolling.roll_out(config.steps, self._seed(0), share)
        self.rollouts.append(made)
        if self.folder is not None:
            made.save(self.folder / _name(self.block))
        if self.block == 0:
            self._settle(made)
        return {"return": float(np.mean(rolling.returns))} if rolling.returns else {}

    def _settle(self, made: RollOut) -> None:
        numbers = made.numbers.reshape(made.first.size, self.task.sight.size)
        self.network.settle(numbers, made.readings.reshape(made.first.size, self.task.senses.size))
        if self.task.sight.fills:
            given = torch.as_tensor(numbers, device=self.task.device)
            with torch.no_grad():
                self.task.teacher.settle(self.task.sight.assemble(given))

    def _learn(self, advance: Callable[[int], None]) -> dict[str, float]:
        config, task = self.config, self.task
        rng = np.random.default_rng(self._seed(1))
        data = RollOut.joined(self.rollouts)
        begin = self.ends[self.block - 1] if self.block else 0
        sums: dict[str, float] = {}

        def windows(count: int) -> Any:
            return draw_windows(
                data, task.senses, task.sight, steps=config.window, count=count, rng=rng,
                own=task.faults, device=task.device,
            )  # fmt: skip

        for update in range(begin, self.ends[self.block]):
            for group in self.optimizer.param_groups:
                group["lr"] = config.learning_rate * min(1.0, 2 * (1 - update / config.updates))
            terms = losses(self.network, task.teacher, task.sight, windows(config.batch_size))
            self.optimizer.zero_grad()
            terms["loss"].backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
            self.optimizer.step()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.item()
            advance(update + 1)
        count = max(1, self.ends[self.block] - begin)
        facts = {f"loss/{name}": total / count for name, total in sums.items()}
        found = fill_in_errors(self.network, task.sight, windows(TESTED))
        return facts | {f"fill_in/{name}": error for name, error in found.items()}

    def _seed(self, use: int) -> int:
        return int(np.random.SeedSequence([self.seed, self.block, use]).generate_state(1)[0])

    def _write(self, folder: Path) -> None:
        content = BytesIO()
        state = {
            "block": self.block,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sharpness": self.task.teacher.sharpness,
        }
        torch.save(state, content)
        write_atomically(folder / STATE, content.getvalue())

    def _read(self, folder: Path) -> None:
        try:
            state = load_tensors(read_bytes(folder / STATE, MOST), self.task.device)
            self.block = int(state["block"])
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.task.teacher.sharpness = float(state["sharpness"])
            rounds = range(min(self.block, self.config.rounds))
            self.rollouts = [RollOut.load(folder / _name(i)) for i in rounds]
        except (OSError, ValueError, KeyError, RuntimeError, EOFError) as error:
            raise CheckpointError(
                f"the state of the belief in {folder} is damaged or belongs to other settings "
                f"({error}); remove the folder to train the belief from the start"
            ) from error


def _name(number: int) -> str:
    return f"rollout-{number:03d}.npz"
