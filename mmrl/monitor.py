"""`python -m mmrl.monitor run=<folder>`: a monitor that notices sensors which lie.

Fits it to fault-free episodes of a trained agent, saves it in the run's folder, and measures it
under faults that nobody announces: how well it finds them, and how much reward that saves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from mmrl.control.check import check_trained
from mmrl.control.envs import make_envs
from mmrl.control.normalization_statistics import config_of
from mmrl.files import write_atomically
from mmrl.report.monitor import monitor_figure, monitor_table, to_results
from mmrl.report.plots import to_pixels, to_png
from mmrl.report.results import summarise, write_results
from mmrl.runs.command_line import command_line
from mmrl.runs.composed import Composed, to_plain
from mmrl.runs.device import check_device, resolve_device
from mmrl.runs.folder import RunFolder
from mmrl.runs.progress import make_console, progress_bar
from mmrl.settings import ConfigError, typed
from mmrl_agents.acting import LatentPolicy
from mmrl_agents.agent import Agent
from mmrl_agents.monitor.monitor import NAME, MonitorConfig, SensorMonitor
from mmrl_agents.monitor.recording import fit_monitor
from mmrl_agents.monitor.trial import Finding, Trial, findings, misfits, trials, watch
from mmrl_agents.robustness import Condition, MakeEnvs

FAULTS: dict[str, dict[str, Any]] = {
    "noise": {"mechanism": "noise", "strength": 0.3},
    "salt_and_pepper": {"mechanism": "salt_and_pepper", "share": 0.1},
    "freeze": {"mechanism": "freeze"},
    "bias": {"mechanism": "bias", "strength": 0.2},
    "drift": {"mechanism": "drift", "strength": 0.01},
    "delay_5": {"mechanism": "delay", "steps": 5},
    "delay_10": {"mechanism": "delay", "steps": 10},
    "occlusion": {"mechanism": "occlusion", "size": 0.4},
    "saturation": {"mechanism": "saturation", "limit": 0.3},
}
"""What happens to the sensors by default, see `mmrl_envs.faults`."""


@dataclass(frozen=True)
class BurstConfig:
    """Outages of random length.

    Args:
        outage: Their mean length in steps.
        uptime: Mean number of steps between them.
    """

    outage: float = 30.0
    uptime: float = 60.0


@dataclass(frozen=True)
class CommandConfig:
    """Settings of the command.

    Args:
        run: Folder of a run.
        seed: Seed of the recorded episodes, the fit, and the episodes of the measurement.
        device: Where encoder and policy run.
        refit: Whether a monitor that is there already is fitted again.
        episodes: For every fault and sensor; 0: the monitor is only fitted.
        burst: When the faults happen.
        faults: Mechanisms and their parameters, by name.
        monitor: See `MonitorConfig`.
    """

    run: str
    seed: int = 0
    device: str = "auto"
    refit: bool = False
    episodes: int = 50
    burst: BurstConfig = field(default_factory=BurstConfig)
    faults: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(FAULTS))
    monitor: MonitorConfig = field(default_factory=MonitorConfig)

    @property
    def times(self) -> dict[str, Any]:
        """The pattern of the faults, see `mmrl_envs.faults`."""
        return {"pattern": "burst", **asdict(self.burst)}

    def __post_init__(self) -> None:
        if self.episodes < 0 or self.seed < 0:
            raise ValueError(
                f"episodes and seed must not be negative, got {self.episodes} and {self.seed}"
            )


def main() -> None:
    """The command."""
    command_line("monitor", work, CommandConfig)


def work(settings: Composed) -> None:
    """Fits a monitor if there is none, and measures it into a new subfolder of the run."""
    command = typed(CommandConfig, to_plain(settings), "")
    run = RunFolder.open(command.run)
    check_device(command.device)
    config = replace(config_of(run), device=command.device)
    check_trained(run, config)
    agent = Agent.load(run.path, resolve_device(config.device), belief=False)
    if not isinstance(agent.acting, LatentPolicy):
        raise ConfigError(
            f"the agent in {run.path} acts on observations (method {config.method!r}): a monitor "
            "compares the representations of a frozen encoder, which it does not have"
        )
    make = partial(make_envs, config.env)
    console = make_console()
    for note in left_out(command, make, list(agent.sensors)):
        console.print(f"note: {note}", markup=False, highlight=False)
    monitor = fitted(command, run, agent.acting, make, console)
    if command.episodes:
        found, made = measure(command, agent.acting, monitor, make, console)
        out = run.new_subfolder(NAME)
        results = to_results(found, label=config.label, seed=config.seed)
        write_results(out, NAME, results, summarise(results))
        write(found, made, monitor, out, f"{config.label}, seed {config.seed}", console)


def left_out(command: CommandConfig, make: MakeEnvs, names: list[str]) -> list[str]:
    """Which faults are not measured on which sensors, and why.

    Raises:
        ConfigError: A fault is specified wrongly, or there is nothing left to measure.
    """
    notes: list[str] = []
    for name, mechanism in command.faults.items():
        try:
            unfit = misfits(make, {**command.times, **mechanism}, names)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"faults.{name}: {error}") from error
        notes += [f"{name} of {channel} is left out: {why}" for channel, why in unfit.items()]
    if not command.episodes:
        return []
    if len(notes) == len(names) * len(command.faults):
        raise ConfigError(
            "no fault fits any sensor, so there is nothing to measure (episodes=0 only fits the "
            f"monitor): {'; '.join(notes) or 'faults is empty'}"
        )
    return notes


def fitted(
    command: CommandConfig,
    run: RunFolder,
    agent: LatentPolicy,
    make: MakeEnvs,
    console: Console,
) -> SensorMonitor:
    """The monitor of a run: read from its folder, or fitted and saved there.

    Raises:
        ConfigError: The one that is there has other settings, or there can be none.
        CheckpointError: It is damaged.
    """
    envs = make(1)
    space = envs.single_action_space
    envs.close()
    encoder = agent.latents.encoder
    if (run.path / f"{NAME}.yaml").exists() and not command.refit:
        monitor = SensorMonitor.load(run.path, encoder, space)
        if monitor.config != command.monitor:
            raise ConfigError(
                f"the monitor in {run.path} was fitted with other settings, {monitor.config}: give "
                "refit=true to fit it again"
            )
        return monitor
    try:
        monitor = SensorMonitor(encoder, space, command.monitor)
    except ValueError as error:
        raise ConfigError(f"monitor: {error}") from error
    with console.status("monitor: recording fault-free episodes, and learning from them"):
        fit_monitor(monitor, agent, make, command.seed)
    monitor.save(run.path)
    console.print(f"monitor: {run.path / NAME}.safetensors and .yaml")
    return monitor


def measure(
    command: CommandConfig,
    agent: LatentPolicy,
    monitor: SensorMonitor,
    make: MakeEnvs,
    console: Console,
) -> tuple[list[Finding], list[Trial]]:
    """Every fault on every sensor, without the monitor's help and with it; and the oracle."""
    seed, episodes = command.seed + 1, command.episodes  # other episodes than it was fitted to
    run = partial(watch, agent, monitor, make, episodes=episodes, seed=seed)
    made: list[Trial] = []
    specs = [{**command.times, **mechanism} for mechanism in command.faults.values()]
    total = sum(len(monitor.names) - len(misfits(make, spec, monitor.names)) for spec in specs)
    with progress_bar(console, "monitor", total + len(monitor.names) + 1, "trials") as advance:
        healthy = run(Condition("healthy"), silent=True)
        advance(1)
        announced = {}
        for name in monitor.names:
            oracle = {**command.times, "channels": [name], "mechanism": "blackout"}
            announced[name] = run(Condition(name, (oracle,)), silent=True).rewards
            advance(1 + len(announced))
        for trial in trials(
            agent, monitor, make, command.faults, command.times, episodes=episodes, seed=seed
        ):
            made.append(trial)
            advance(1 + len(announced) + len(made))
    return findings(made, monitor.names, healthy.rewards, announced), made


def write(
    found: list[Finding],
    made: list[Trial],
    monitor: SensorMonitor,
    out: Path,
    title: str,
    console: Console,
) -> None:
    """Table, plot and TensorBoard's part.

    Args:
        found: What the trials say.
        made: The trials.
        monitor: Which was tried.
        out: Folder for the files.
        title: Above table and plot.
        console: Takes the table.
    """
    figure = monitor_figure(found, made, monitor.names, title=title)
    write_atomically(out / "monitor.png", to_png(figure))
    with SummaryWriter(str(out / "tb")) as writer:
        for finding in found:
            for name in ("auroc", "delay", "found", "false_alarms", "recovered"):
                tag = f"monitor_{name}/{finding.fault}/{finding.channel}"
                writer.add_scalar(tag, getattr(finding, name))
        writer.add_image("monitor", to_pixels(figure), dataformats="HWC")
    rate = monitor.config.false_alarm_rate
    console.print(monitor_table(found, title=f"{title}, {rate:.1%} false alarms allowed"))
    console.print(f"files in {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


if __name__ == "__main__":
    main()
