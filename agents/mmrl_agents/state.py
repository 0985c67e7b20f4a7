"""The state of an interrupted training: networks, optimizers, replay, counters, random streams."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from mmrl.checkpoint import CheckpointError
from mmrl.data.npz import read_npz
from mmrl.files import brief, read_bytes, read_json
from mmrl.weights import MOST, load_tensors
from mmrl_agents.noise import ScheduledNoise

PREFIX = "state-"
TENSORS, REPLAY, COUNTERS = "tensors.pt", "replay.npz", "counters.json"
REPLAY_ARRAYS = (
    "observations",
    "next_observations",
    "actions",
    "rewards",
    "dones",
    "timeouts",
)
UNREADABLE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)
COUNTED = ("num_timesteps", "_episode_num", "_n_updates")
COUNTED_BY_DQN = ("_n_calls", "exploration_rate")


def write_state(model: BaseAlgorithm, folder: Path) -> Path:
    """Writes the state into a folder of its own, whole or not at all; older ones are removed.

    Args:
        model: Between two rollouts.
        folder: Where the state's folder is made.

    Raises:
        OSError: The disk is full; the state before is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{PREFIX}{model.num_timesteps:012d}"
    if final.exists():
        return final
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".{PREFIX}"))
    try:
        torch.save(_tensors(model), temporary / TENSORS)
        if (replay := _replay(model)) is not None:
            np.savez(temporary / REPLAY, **_replay_arrays(replay))  # type: ignore[arg-type]
        (temporary / COUNTERS).write_text(json.dumps(_counters(model)))
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for other in (*folder.glob(f"{PREFIX}*"), *folder.glob(f".{PREFIX}*")):
        if other != final:
            shutil.rmtree(other, ignore_errors=True)
    return final


def read_state(model: BaseAlgorithm, folder: Path) -> bool:
    """Puts the newest state of a folder into a model that was built from the same settings.

    Environments get another seed than at the start, or they would repeat their first episodes.

    Returns:
        Whether there was one.

    Raises:
        CheckpointError: It is damaged or does not fit.
    """
    states = sorted(folder.glob(f"{PREFIX}*"))
    if not states:
        return False
    path = states[-1]
    try:
        counters = read_json(path / COUNTERS)
        tensors = load_tensors(read_bytes(path / TENSORS, MOST), model.device)
        _set_tensors(model, tensors)
        if (replay := _replay(model)) is not None:
            _set_replay(replay, read_npz(path / REPLAY))
        _set_counters(model, counters)
    except UNREADABLE as error:
        raise CheckpointError(
            f"the state of the training in {path} is damaged or belongs to other settings "
            f"({brief(error)}); remove {folder} to train from the start"
        ) from error
    if model.env is not None and model.seed is not None:
        fresh = np.random.SeedSequence([model.seed, model.num_timesteps])
        model.env.seed(int(fresh.generate_state(1)[0]))
    return True


def _tensors(model: BaseAlgorithm) -> dict[str, Any]:
    _, variables = model._get_torch_save_params()
    streams = {"cpu": torch.get_rng_state()}
    if model.device.type == "cuda":
        streams["cuda"] = torch.cuda.get_rng_state(model.device)
    return {
        "parameters": model.get_parameters(),
        "variables": {name: recursive_getattr(model, name).detach() for name in variables},
        "streams": streams,
    }


def _set_tensors(model: BaseAlgorithm, tensors: Mapping[str, Any]) -> None:
    model.set_parameters(tensors["parameters"], device=model.device)
    for name, value in tensors["variables"].items():
        recursive_getattr(model, name).data.copy_(value)
    torch.set_rng_state(tensors["streams"]["cpu"].cpu())
    if model.device.type == "cuda" and "cuda" in tensors["streams"]:
        torch.cuda.set_rng_state(tensors["streams"]["cuda"].cpu(), model.device)


def _counters(model: BaseAlgorithm) -> dict[str, Any]:
    replay = _replay(model)
    # Stable-Baselines3 samples the replay with NumPy's global stream.
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    noise = model.action_noise
    return {
        "counted": {name: getattr(model, name) for name in _counted(model)},
        "episodes": [
            {key: float(value) for key, value in episode.items()}
            for episode in model.ep_info_buffer or ()
        ],
        "replay": None if replay is None else {"pos": replay.pos, "full": replay.full},
        "numpy_stream": [kind, np.asarray(keys).tolist(), *rest],
        "action_stream": model.action_space.np_random.bit_generator.state,
        "noise": noise.state() if isinstance(noise, ScheduledNoise) else None,
    }


def _set_counters(model: BaseAlgorithm, counters: Mapping[str, Any]) -> None:
    for name in _counted(model):
        setattr(model, name, counters["counted"][name])
    model.ep_info_buffer = deque(counters["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    if (replay := _replay(model)) is not None:
        replay.pos, replay.full = counters["replay"]["pos"], counters["replay"]["full"]
        _cut(replay)
    kind, keys, *rest = counters["numpy_stream"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))  # noqa: NPY002
    model.action_space.np_random.bit_generator.state = counters["action_stream"]
    if isinstance(model.action_noise, ScheduledNoise):
        model.action_noise.set_state(counters["noise"])


def _counted(model: BaseAlgorithm) -> tuple[str, ...]:
    return COUNTED + COUNTED_BY_DQN if isinstance(model, DQN) else COUNTED


def _replay(model: BaseAlgorithm) -> ReplayBuffer | None:
    return model.replay_buffer if isinstance(model, OffPolicyAlgorithm) else None


def _replay_arrays(replay: ReplayBuffer) -> dict[str, NDArray[Any]]:
    """The filled part of every array; one row more where rows double as the next observation."""
    rows = replay.buffer_size if replay.full else min(replay.pos + 1, replay.buffer_size)
    return {name: array[:rows] for name, array in _named_arrays(replay)}


def _set_replay(replay: ReplayBuffer, saved: Mapping[str, NDArray[Any]]) -> None:
    for name, array in _named_arrays(replay):
        stored = saved[name]
        if stored.shape[1:] != array.shape[1:] or len(stored) > len(array):
            raise ValueError(f"{name} in the replay has shape {stored.shape}, not {array.shape}")
        array[: len(stored)] = stored


def _named_arrays(replay: ReplayBuffer) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in REPLAY_ARRAYS:
        array: Any = getattr(replay, name, None)
        if isinstance(array, dict):
            yield from ((f"{name}/{key}", channel) for key, channel in array.items())
        elif array is not None:
            yield name, array


def _cut(replay: ReplayBuffer) -> None:
    """Ends the episodes that were running, as a time limit would: they are not continued."""
    if replay.handle_timeout_termination and (replay.pos or replay.full):
        replay.dones[replay.pos - 1] = 1.0
        replay.timeouts[replay.pos - 1] = 1.0
