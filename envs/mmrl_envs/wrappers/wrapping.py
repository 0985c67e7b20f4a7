"""Wrappers from plain data: an environment becomes multimodal by configuration.

A specification is a list, applied in its order, for example

    [{"name": "split", "slices": {"cart": [0, 2], "pole": [2, 4]}},
     {"name": "camera", "size": 64, "state_name": "state"},
     {"name": "stack", "frames": {"camera": 2}}]

with the name of a wrapper and its arguments. What a wrapper itself calls `name`, the name of the
channel that a camera adds, is `channel` here. The name `package.module:Class` stands for any
wrapper of Gymnasium or yours, which is imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium

from mmrl_envs.mujoco.sensors import MujocoSensors
from mmrl_envs.wrappers.bound_actions import BoundActions
from mmrl_envs.wrappers.camera import CameraObservation
from mmrl_envs.wrappers.flatten import FlattenDict
from mmrl_envs.wrappers.normalize import NormalizeChannels
from mmrl_envs.wrappers.one_hot import OneHotChannels
from mmrl_envs.wrappers.rename import RenameChannels
from mmrl_envs.wrappers.select import DropChannels, SelectChannels
from mmrl_envs.wrappers.split import SplitObservation
from mmrl_envs.wrappers.stack import StackFrames
from mmrl_envs.wrappers.stacked import DeclareStacked

Wrapper = type[gymnasium.Wrapper[Any, Any, Any, Any]]

WRAPPERS: dict[str, Wrapper] = {
    "bound_actions": BoundActions,
    "camera": CameraObservation,
    "drop": DropChannels,
    "flatten": FlattenDict,
    "mujoco_sensors": MujocoSensors,
    "normalize": NormalizeChannels,
    "one_hot": OneHotChannels,
    "rename": RenameChannels,
    "select": SelectChannels,
    "split": SplitObservation,
    "stack": StackFrames,
    "stacked": DeclareStacked,
}

WrapperSpecs = Sequence[Mapping[str, Any]]


def wrap(env: gymnasium.Env[Any, Any], wrappers: WrapperSpecs) -> gymnasium.Env[Any, Any]:
    """Puts wrappers around an environment, the first one innermost.

    Args:
        env: The environment.
        wrappers: Their specifications, see the module.

    Raises:
        DependencyNotInstalled: A wrapper needs what is not installed.
        TypeError: The environment is not of the kind that a wrapper needs, or a specification is
            no mapping.
        ValueError: A wrapper or an argument is unknown or missing, or does not fit the environment;
            the message names the wrapper.

    Example:
        >>> env = gymnasium.make("CartPole-v1")
        >>> env = wrap(env, [{"name": "split", "slices": {"cart": [0, 2], "pole": [2, 4]}}])
        >>> list(env.observation_space)
        ['cart', 'pole']
    """
    check_wrappers(wrappers)
    for number, spec in enumerate(wrappers):
        arguments = {key: value for key, value in spec.items() if key != "name"}
        if spec["name"] in WRAPPERS and "channel" in spec:
            arguments["name"] = arguments.pop("channel")
        try:
            env = _wrapper(number, spec)(env, **arguments)
        except (gymnasium.error.Error, TypeError, ValueError) as error:
            raise type(error)(f"{_place(number, spec)}: {error}") from error
        except AssertionError as error:  # how Gymnasium's wrappers refuse
            raise ValueError(f"{_place(number, spec)}: {error}") from error
    return env


def check_wrappers(wrappers: WrapperSpecs) -> None:
    """Checks names of wrappers and of their arguments, as far as that goes without an environment.

    Raises:
        TypeError: A specification is no mapping.
        ValueError: A wrapper or an argument is unknown, or a needed one is missing.

    Example:
        >>> check_wrappers([{"name": "stack", "frame": 2}])
        Traceback (most recent call last):
        ValueError: wrappers[0] (stack) has no arguments ['frame']; known: ['frames', 'kept_by']
    """
    for number, spec in enumerate(wrappers):
        if not isinstance(spec, Mapping):
            raise TypeError(
                f"wrappers[{number}] must be a mapping such as {{'name': 'flatten'}}, got {spec!r}"
            )
        signature = inspect.signature(_wrapper(number, spec).__init__).parameters
        own = spec["name"] in WRAPPERS
        parameters = {
            "channel" if own and name == "name" else name: p
            for name, p in signature.items()
            if name not in ("self", "env") and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        }
        given = [key for key in spec if key != "name"]
        takes_more = any(p.kind == p.VAR_KEYWORD for p in signature.values())
        if not takes_more and (unknown := [key for key in given if key not in parameters]):
            raise ValueError(
                f"{_place(number, spec)} has no arguments {unknown}; known: {list(parameters)}"
            )
        needed = [name for name, p in parameters.items() if p.default is p.empty]
        if missing := [name for name in needed if name not in given]:
            raise ValueError(f"{_place(number, spec)} needs {missing}")


def _wrapper(number: int, spec: Mapping[str, Any]) -> Wrapper:
    """Return the class that a specification names."""
    name = spec.get("name")
    if name in WRAPPERS:
        return WRAPPERS[name]
    if not isinstance(name, str) or ":" not in name:
        raise ValueError(
            f"wrappers[{number}] needs the name of a wrapper, one of {list(WRAPPERS)}, or "
            f"package.module:Class, got {dict(spec)}"
        )
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(f"wrappers[{number}] cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, gymnasium.Wrapper)):
        raise ValueError(f"wrappers[{number}]: {name} is no gymnasium.Wrapper but {found!r}")
    return found


def _place(number: int, spec: Mapping[str, Any]) -> str:
    return f"wrappers[{number}] ({spec['name']})"
