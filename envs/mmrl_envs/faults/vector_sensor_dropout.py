"""Sensor faults for vector environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mmrl_envs.faults.fault import make_faults
from mmrl_envs.faults.framewise import FramewiseProcess
from mmrl_envs.faults.lamps import lamp_states, with_lamps
from mmrl_envs.faults.mechanisms import Rows
from mmrl_envs.faults.process import EVERYWHERE, MISSING
from mmrl_envs.faults.sensor_dropout import (
    FaultSpecs,
    Observation,
    failing_channels,
    space_with_mask,
)
from mmrl_envs.seeding import sub_seeds
from mmrl_envs.wrappers.channels import AVAILABLE

Bools = NDArray[np.bool_]


class VectorSensorDropout(VectorWrapper[Observation, Any, Mapping[str, Any], Any, NDArray[Any]]):
    """Lets the channels of a vector environment fail, each sub-environment on its own.

    See :class:`~mmrl_envs.faults.sensor_dropout.SensorDropout`. Sub-environment i of a vector
    environment that was reset with `seed` fails as a single environment does that was reset with
    `mmrl_envs.seeding.sub_seeds(seed, num_envs)[i]`.

    Args:
        env: A vector environment with a flat Dict observation, of any autoreset mode.
        faults: Faults or their specifications, see :mod:`mmrl_envs.faults.fault`.
        keep_at_least: Announced faults leave so many channels available.
        copy: Leave the arrays of the environment untouched. False zeroes them in place, which is
            faster and right for environments that never read again what they returned, such as
            the multimodal pendulum.
        partial: What a reading is in which some numbers are NaN or infinite, see there.

    Raises:
        TypeError: The observation is no Dict, or an argument has the wrong type.
        ValueError: A fault does not fit the observation, or the environment does not tell its
            autoreset mode.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        faults: FaultSpecs,
        *,
        keep_at_least: int = 1,
        copy: bool = True,
        partial: str = MISSING,
    ) -> None:
        super().__init__(env)
        self.faults = make_faults(faults)
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"{env} must tell its autoreset mode in metadata['autoreset_mode'], "
                f"one of {list(AutoresetMode)}, got {mode!r}"
            )
        self._mode = mode
        channels = failing_channels(env.single_observation_space)
        self.channels = tuple(channels)
        self.single_observation_space = space_with_mask(channels)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._process = FramewiseProcess(
            self.faults,
            channels,
            self.num_envs,
            keep_at_least=keep_at_least,
            copy=copy,
            partial=partial,
        )
        self._all = np.ones(self.num_envs, np.bool_)
        self._ended = np.zeros(self.num_envs, np.bool_)
        self._latest: Observation = {}
        self._lamps = np.zeros((self.num_envs, len(channels)), np.int64)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin episodes in all sub-environments or in those of `options["reset_mask"]`."""
        mask = (options or {}).get("reset_mask")
        if mask is not None and self._mode is not AutoresetMode.DISABLED:
            raise ValueError(f"reset_mask needs autoreset_mode DISABLED, got {self._mode.name}")
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        chosen = np.ones(self.num_envs, np.bool_) if mask is None else np.array(mask, np.bool_)
        rows = np.flatnonzero(chosen)
        seeds = sub_seeds(seed, self.num_envs)
        self._process.restart(rows, [seeds[row] for row in rows])
        self._ended = self._ended & ~chosen
        failed, faulty = self._fail(_take(observations, self.channels, rows), rows)
        faulty = _spread(faulty, rows, self.num_envs)
        if self._latest:
            failed = {name: _replaced(self._latest[name], failed[name], rows) for name in failed}
        self._remember(failed, faulty)
        return failed, {**infos, "faulty": faulty, "_faulty": chosen}

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step and let the sensors fail."""
        observations, rewards, terminations, truncations, told = self.env.step(actions)
        infos = dict(told)
        self._process.advance()
        if self._mode is AutoresetMode.NEXT_STEP and np.count_nonzero(self._ended):
            self._process.restart(np.flatnonzero(self._ended))
        self._ended = terminations | truncations
        some_ended = np.count_nonzero(self._ended) > 0
        if some_ended and self._mode is AutoresetMode.SAME_STEP:
            failed, faulty = self._end(observations, infos)
        else:
            failed, faulty = self._fail(observations)
            if some_ended:
                infos |= self._rates()
        self._remember(failed, faulty)
        infos["faulty"], infos["_faulty"] = faulty, self._all.copy()
        return failed, rewards, terminations, truncations, infos

    def render(self) -> tuple[Any, ...] | None:
        """Return the frames with lamps, see the single wrapper."""
        frames = self.env.render()
        if frames is None:
            return None
        return tuple(
            with_lamps(frame, self.channels, lamps)
            for frame, lamps in zip(frames, self._lamps, strict=True)
        )

    def _remember(self, failed: Observation, faulty: Bools) -> None:
        if self._mode is AutoresetMode.DISABLED:  # a masked reset repeats the others' observations
            self._latest = {name: values.copy() for name, values in failed.items()}
        if self.render_mode is not None:
            self._lamps = lamp_states(failed[AVAILABLE], faulty)

    def _fail(
        self, observations: Mapping[str, NDArray[Any]], rows: Rows = EVERYWHERE
    ) -> tuple[Observation, Bools]:
        batch = {name: observations[name] for name in self.channels}
        values, available, faulty = self._process.apply(batch, rows)
        values[AVAILABLE] = available
        return values, faulty

    def _end(
        self, observations: Mapping[str, NDArray[Any]], infos: dict[str, Any]
    ) -> tuple[Observation, Bools]:
        """Let sensors fail in episodes that go on, in last observations, and in the first ones."""
        going, rows = np.flatnonzero(~self._ended), np.flatnonzero(self._ended)
        failed, faulty = self._fail(_take(observations, self.channels, going), going)
        last, faulty_at_last = self._fail(
            _stack([infos["final_obs"][row] for row in rows], self.channels), rows
        )
        final = infos["final_obs"].copy()
        for place, row in enumerate(rows):
            final[row] = {name: values[place] for name, values in last.items()}
        infos["final_obs"] = final
        infos["final_info"] = {
            **infos.get("final_info", {}),
            **self._rates(),
            "faulty": _spread(faulty_at_last, rows, self.num_envs),
            "_faulty": self._ended.copy(),
        }
        infos["_final_info"] = self._ended.copy()
        self._process.restart(rows)
        first, faulty_at_first = self._fail(_take(observations, self.channels, rows), rows)
        order = np.argsort(np.concatenate([going, rows]))
        joined = {name: np.concatenate([failed[name], first[name]])[order] for name in failed}
        return joined, np.concatenate([faulty, faulty_at_first])[order]

    def _rates(self) -> dict[str, Any]:
        """Return the rates of the episodes that ended, in Gymnasium's layout of infos."""
        rates: dict[str, Any] = {}
        for name, share in zip(self.channels, self._process.rates().T, strict=True):
            rates[name] = np.where(self._ended, share, 0.0)
            rates[f"_{name}"] = self._ended.copy()
        return {"fault_rates": rates, "_fault_rates": self._ended.copy()}


def _take(
    observations: Mapping[str, NDArray[Any]], channels: Sequence[str], rows: NDArray[np.int64]
) -> Observation:
    return {name: observations[name][rows] for name in channels}


def _stack(single: Sequence[Mapping[str, Any]], channels: Sequence[str]) -> Observation:
    return {name: np.stack([observation[name] for observation in single]) for name in channels}


def _replaced(old: NDArray[Any], values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    new = old.copy()
    new[rows] = values
    return new


def _spread(values: Bools, rows: NDArray[np.int64], count: int) -> Bools:
    """Return values at their rows, False elsewhere."""
    return _replaced(np.zeros((count, values.shape[1]), np.bool_), values, rows)
