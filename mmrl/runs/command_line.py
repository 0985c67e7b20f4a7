"""What the commands share: composing settings with Hydra, and errors that a user can act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from mmrl.checkpoint import CheckpointError
from mmrl.files import FileError
from mmrl.runs.composed import CONFIGS, Composed
from mmrl.runs.folder import RunFolderError, differences
from mmrl.runs.signals import ending_when_told, exit_code
from mmrl.runs.sweep import SweepFailedError
from mmrl.settings import ConfigError, plain_defaults, unknown_setting

KNOWN = (
    CheckpointError,
    ConfigError,
    FileError,
    FloatingPointError,
    RunFolderError,
    SweepFailedError,
)
"""Errors whose message is all that a user needs."""
REFUSED = 2

RUNS = "sweep.runs"
OPEN = (
    "agent.arguments",
    "agent.policy_kwargs",
    "collect.agent",
    "data.missing",
    "data.options",
    "env.kinds",
    "env.kwargs",
    "env.reference",
    "fit.augment",
    "method.attention_dropout",
    "method.encoders",
    "pretrain.augment",
    RUNS,
)
"""Groups that take more settings than the files list."""


def command_line(name: str, work: Callable[[Composed], float | None], schema: type) -> None:
    """Composes the settings from `<name>.yaml` and the command line, and does the work.

    What is wrong with settings, run folders or runs of a sweep is said in a sentence,
    without a traceback, and ends the process with status 2.

    Args:
        name: Name of the file in `configs/`.
        work: Called with the composed settings, once for each job of a sweep; what it returns is
            what a sweeper such as Optuna's optimises.
        schema: Dataclass of the command's settings that are in no group.
    """
    store_command(name, schema)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or Hydra ends the process on its own errors

    def job(settings: Composed) -> float | None:
        try:
            return work(settings)
        except KNOWN as error:
            refuse(str(error))
        except OSError as error:  # a full disk, a folder that may not be written
            refuse(f"{error.strerror or error}: {error.filename or error}")

    try:
        with ending_when_told():
            hydra.main(config_path=str(CONFIGS), config_name=name, version_base="1.3")(job)()
    except HydraException as error:
        refuse(_readable(error))
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(exit_code(error))


def store(
    name: str, node: Mapping[str, Any], group: str | None = None, package: str | None = None
) -> None:
    """Keeps settings for the files in `configs/` to start from.

    Args:
        name: What they are called there.
        node: The settings as plain data.
        group: The group of which they are an option; None: they are no option of any.
        package: Where they go, if not where the file says or the group is; `_global_`: the top.
    """
    ConfigStore.instance().store(name, dict(node), group=group, package=package)


def store_command(name: str, schema: type) -> None:
    """Lets the file of a command start from the defaults of a dataclass."""
    store(f"base_{name}_command", plain_defaults(schema), package="_global_")


def refuse(message: str) -> NoReturn:
    """Says what is wrong and ends the process."""
    print(f"mmrl: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(REFUSED)


def refuse_other_settings(stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Whether what the command line sets is what a run folder was made with.

    Only what was given on the command line is compared: a resumed run takes everything else from
    its folder. So it does with settings that are younger than the folder, unless they were given by
    name.

    Args:
        stored: Configuration of the folder.
        given: What the command line composes.

    Raises:
        ConfigError: They differ; the settings are named.
    """
    hydra_config = HydraConfig.get()
    keys = [override.partition("=")[0].lstrip("+~") for override in hydra_config.overrides.task]
    differing = differences(stored, {k: v for k, v in given.items() if k != "resume"})
    wrong = {
        key: values
        for key, values in differing.items()
        if key in keys or (_is_set(stored, key) and _concerns(keys, key))
    }
    if wrong:
        lines = [f"  {key}: {old!r} there, {new!r} here" for key, (old, new) in wrong.items()]
        raise ConfigError(
            "the folder to resume was made with other settings:\n"
            + "\n".join(lines)
            + "\ngive resume=<folder> alone to continue with its own settings, or start a new run"
        )


def _concerns(keys: list[str], key: str) -> bool:
    """Whether an override of a setting, its group, or the experiment decides a setting."""
    return any(k == "experiment" or key.startswith(f"{k}.") for k in keys)


def _is_set(settings: Mapping[str, Any], key: str) -> bool:
    node: Any = settings
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _hint(where: str, key: str) -> str:
    """How a group that is open takes another setting; a run of a sweep may differ in any."""
    if where == RUNS:
        return f"\nadd another one with: +method@{RUNS}.{key}.method=... or +{RUNS}.{key}={{...}}"
    opened = where in OPEN or where.startswith(f"{RUNS}.")
    return f"\nadd another one with: +{where}.{key}=..." if opened else ""


def _readable(error: HydraException) -> str:
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.parent_node is not None:
        where, _, key = str(cause.full_key).rpartition(".")
        known = [str(name) for name in cause.parent_node if name != "hydra"]
        if "not in struct" in str(cause):
            return unknown_setting(where, [key], known) + _hint(where, key)
    text = str(error).partition("\nConfig search path:")[0]
    if "No match in the defaults list" in text:
        return text.partition("\nTo append")[0] + " The chosen task has no such group."
    if isinstance(error, OverrideParseException):
        return f"{text.partition(chr(10))[0]}; quote values with spaces, brackets or commas"
    return text
