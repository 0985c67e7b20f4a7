"""Windows of roll-outs, and how wrong a belief is on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from mmrl_agents.belief.masks import draw_masks
from mmrl_agents.belief.network import BeliefNetwork, Evidence, Guess
from mmrl_agents.belief.rollouts import RollOut
from mmrl_agents.belief.senses import Senses
from mmrl_agents.belief.sight import Sight
from mmrl_agents.belief.teacher import Teacher
from mmrl_envs.faults.fault import Fault

AT_START = 0.15
"""Share of the windows that begin with an episode."""
SETTLING, SETTLING_WEIGHT = 4, 0.3
"""Steps after which a state that began in the middle of an episode counts in full, and before."""
DOUBT_WEIGHT = 0.1


class Windows(NamedTuple):
    """A batch, (steps, windows, ...) each.

    Attributes:
        evidence: What the belief gets.
        numbers: What the policy sees when nothing is missing.
        known: Which of them are known.
        targets: The policy's outputs.
        first: Where an episode starts.
        weight: Weight of each step in the loss.
    """

    evidence: Evidence
    numbers: Float[Tensor, "steps windows numbers"]
    known: Bool[Tensor, "steps windows numbers"]
    targets: Float[Tensor, "steps windows outputs"]
    first: Bool[Tensor, "steps windows"]
    weight: Float[Tensor, "steps windows"]


def draw_windows(
    data: RollOut,
    senses: Senses,
    sight: Sight,
    *,
    steps: int,
    count: int,
    rng: np.random.Generator,
    own: Sequence[Fault] = (),
    device: torch.device | str = "cpu",
) -> Windows:
    """Random windows with random outages.

    Where a window goes on into another episode, the state starts anew there, as it does when the
    belief acts: nothing of an episode reaches the next one.
    """
    length, envs = data.first.shape
    begin = rng.integers(length - steps + 1, size=count)
    env = rng.integers(envs, size=count)
    starts = np.argwhere(data.first[: length - steps + 1])
    at_start = rng.random(count) < AT_START
    chosen = starts[rng.integers(len(starts), size=count)]
    begin, env = np.where(at_start, chosen[:, 0], begin), np.where(at_start, chosen[:, 1], env)
    rows = (begin + np.arange(steps)[:, None], np.broadcast_to(env, (steps, count)))
    available = draw_masks(steps, count, sight.sensors, rng, own)
    first = data.first[rows]
    weight = np.ones((steps, count), np.float32)
    weight[:SETTLING] = np.where(np.maximum.accumulate(first[:SETTLING]), 1.0, SETTLING_WEIGHT)
    arrays = (
        data.latents[(*rows, senses.subset(available))],
        data.readings[rows],
        senses.readable(available),
        available,
        data.previous[rows],
    )
    evidence = Evidence(*(_tensor(array, device) for array in arrays))
    others = (data.numbers[rows], sight.known(available), data.targets[rows], first, weight)
    return Windows(evidence, *(_tensor(array, device) for array in others))


def guess(network: BeliefNetwork, windows: Windows) -> Guess:
    """What a belief makes of every step of windows."""
    features = network.features(windows.evidence)
    state = network.unknown.expand(features.shape[1], -1)
    states = []
    for step, first in zip(features, windows.first, strict=True):
        state = network.step(state, step, first)
        states.append(state)
    return network.guess(torch.stack(states), features)


def losses(
    network: BeliefNetwork, teacher: Teacher, sight: Sight, windows: Windows
) -> dict[str, Tensor]:
    """The terms of the loss and their sum.

    `action`: error of what the policy does on what is filled in, whose gradients go through the
    frozen policy into the estimates; `head`: error of the action head; `estimate`: smooth L1 error
    of the standardised estimates; `spread`: Gaussian likelihood of the estimates' errors under the
    predicted spread; `doubt`: exponential likelihood of both errors of the action under what was
    expected of them. The last two train nothing but spread and doubt.
    """
    made = guess(network, windows)
    weight = windows.weight / windows.weight.sum()
    head = teacher.distance(made.outputs, windows.targets)
    terms = {"head": (weight * head).sum()}
    errors = head
    if sight.size:
        error = (made.numbers - windows.numbers) / network.scale
        smooth = torch.nn.functional.smooth_l1_loss(
            error, torch.zeros_like(error), reduction="none"
        )
        terms["estimate"] = (weight * smooth.mean(-1)).sum()
        spread = made.spread / network.scale
        likelihood = (error.detach() / spread).square() / 2 + spread.log()
        terms["spread"] = DOUBT_WEIGHT * (weight * likelihood.mean(-1)).sum()
    if sight.fills:
        filled = torch.where(windows.known, windows.numbers, made.numbers).flatten(0, 1)
        outputs = teacher.outputs(sight.assemble(filled)).view_as(windows.targets)
        errors = teacher.distance(outputs, windows.targets)
        terms["action"] = (weight * errors).sum()
    both = torch.stack([errors, head], dim=-1).detach() + 1e-5
    doubt = both * torch.exp(-made.doubt) + made.doubt
    terms["doubt"] = DOUBT_WEIGHT * (weight * doubt.mean(-1)).sum()
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


@torch.no_grad()
def fill_in_errors(network: BeliefNetwork, sight: Sight, windows: Windows) -> dict[str, float]:
    """Root mean square error of each part that is filled in, by what is missing.

    Returns:
        In standard deviations of the part's numbers, by `<part>/without_<sensors>`.
    """
    made = guess(network, windows)
    error = ((made.numbers - windows.numbers) / network.scale)[SETTLING:].cpu().numpy()
    unknown = ~windows.known[SETTLING:].cpu().numpy()
    missing = ~windows.evidence.available[SETTLING:].cpu().numpy()
    found: dict[str, float] = {}
    for lost in np.unique(missing.reshape(-1, missing.shape[-1]), axis=0):
        rows = (missing == lost).all(axis=-1)
        names = "+".join(s for s, gone in zip(sight.sensors, lost, strict=True) if gone)
        for part in sight.parts:
            at = sight.slices[part.name]
            if unknown[rows][:, at].any():
                root = float(np.sqrt(np.square(error[rows][:, at]).mean()))
                found[f"{part.name}/without_{names}"] = root
    return found


def _tensor(array: NDArray[np.generic], device: torch.device | str) -> Tensor:
    return torch.as_tensor(array, device=device)
