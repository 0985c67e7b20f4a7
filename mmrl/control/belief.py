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
from mmrl_agents.belief.checkpoint import DESCRIPTION, WEIGHTS, for_policy, save_belief
from mmrl_agents.belief.config import NO_BELIEF
from mmrl_agents.belief.training import BeliefTraining
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
        faults = make_faults(config.faults.models)
        task = for_policy(run.path, agent.acting, agent.sensors, device, faults)
        training = BeliefTraining(task, settings, stream(config.seed, BELIEF), scratch)
        found: dict[str, float] = {}

        def on_block(timesteps: int, updates: int, facts: Mapping[str, float]) -> None:
            for name, value in facts.items():
                run.writer.add_scalar(f"belief/{name}", value, updates)
            run.writer.add_scalar("belief/timesteps", timesteps, updates)
            found.update(facts)

        with progress_bar(run.console, "belief", settings.updates, "updates") as advance:
            network = training.run(partial(make_envs, config.env), advance, on_block)
        steps = settings.rounds * settings.steps * settings.n_envs
        run.folder.add_metrics(belief={"timesteps": steps, "updates": settings.updates, **found})
        save_belief(task.policy(network, settings.head), run.path)
