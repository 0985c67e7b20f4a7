"""Training of what stands in for missing sensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mmrl.control.config import TrainConfig
from mmrl.control.envs import make_envs
from mmrl.runs.device import resolve_device
from mmrl.runs.progress import progress_bar
from mmrl.runs.run import Run
from mmrl.runs.seeding import BELIEF, stream
from mmrl_agents.acting import LatentPolicy, ObservationPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.belief.acting import BeliefPolicy, Believer
from mmrl_agents.belief.checkpoint import DESCRIPTION, WEIGHTS, for_policy, save_belief
from mmrl_agents.belief.config import NO_BELIEF
from mmrl_agents.belief.training import BeliefTraining, Task
from mmrl_envs.faults import make_faults


def belief_stage(run: Run[TrainConfig]) -> None:
    """A belief that fills in for missing sensors; it learns from roll-outs, without rewards."""
    config, settings = run.config, run.config.belief
    if settings.name == NO_BELIEF or run.folder.finished("belief"):
        return
    with run.folder.stage("belief", (WEIGHTS, DESCRIPTION)) as scratch:
        device = resolve_device(config.device)
        agent = Agent.load(run.path, device, belief=False)
        assert isinstance(agent.acting, LatentPolicy | ObservationPolicy)
        sight, teacher, senses = for_policy(run.path, agent.acting, agent.sensors, device)
        faults = tuple(make_faults(config.faults.models))
        task = Task(sight, teacher, senses, faults, device)
        training = BeliefTraining(task, settings, stream(config.seed, BELIEF), scratch)
        found: dict[str, float] = {}

        def on_block(frames: int, updates: int, facts: Mapping[str, float]) -> None:
            for name, value in facts.items():
                run.writer.add_scalar(f"belief/{name}", value, updates)
            run.writer.add_scalar("belief/frames", frames, updates)
            found.update(facts)

        with progress_bar(run.console, "belief", settings.updates, "updates") as advance:
            network = training.run(partial(make_envs, config.env), advance, on_block)
        frames = settings.rounds * settings.steps * settings.n_envs
        run.folder.add_metrics(belief={"frames": frames, "updates": settings.updates, **found})
        save_belief(
            BeliefPolicy(sight, Believer(network, teacher, senses), settings.head), run.path
        )
