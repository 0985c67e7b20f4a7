"""Where the commands' settings begin: the defaults of the dataclasses that they become.

The files in `configs/` hold only what differs. Each node below is one that they start from by its
name (`base_fit`), and every method is an option of the group `method`.
"""

from __future__ import annotations

from mmrl.classification.config import (
    DECIDED_BY_DATA,
    ClassifierConfig,
    DataConfig,
    MissingConfig,
    ScoresConfig,
)
from mmrl.control.config import (
    CollectConfig,
    EnvConfig,
    EvaluateConfig,
    FaultsConfig,
)
from mmrl.control.measure import MeasureConfig
from mmrl.methods import METHODS
from mmrl.monitor import CommandConfig as MonitorCommand
from mmrl.runs.command_line import store, store_command
from mmrl.runs.settings import RunSettings, SweepConfig
from mmrl.settings import plain_defaults
from mmrl.training.config import FitConfig
from mmrl_agents.belief.config import BeliefConfig
from mmrl_agents.config import AgentConfig

SCHEMAS: dict[str, type] = {
    "agent": AgentConfig,
    "belief": BeliefConfig,
    "classifier": ClassifierConfig,
    "collect": CollectConfig,
    "data": DataConfig,
    "env": EnvConfig,
    "evaluate": EvaluateConfig,
    "faults": FaultsConfig,
    "fit": FitConfig,
    "missing": MissingConfig,
    "scores": ScoresConfig,
    "sweep": SweepConfig,
}
"""Groups of settings of a run."""
COMMANDS: dict[str, type] = {
    "evaluate": MeasureConfig,
    "monitor": MonitorCommand,
    "train": RunSettings,
}
"""Settings of the commands that are in no group."""


def store_defaults() -> None:
    """Lets the files in `configs/` start from the dataclasses' defaults."""
    for name, schema in SCHEMAS.items():
        store(f"base_{name}", plain_defaults(schema))
    for name, schema in COMMANDS.items():
        store_command(name, schema)
    for name, method in METHODS.items():
        defaults = plain_defaults(method.Config)
        chosen = {key: defaults[key] for key in defaults if key not in DECIDED_BY_DATA}
        store(name, {"name": name, **chosen}, group="method")
