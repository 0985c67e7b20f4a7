"""A wrapper that lets the sensors of an environment fail and tells which ones are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from mmrl_envs.faults.fault import Fault, make_faults
from mmrl_envs.faults.framewise import FramewiseProcess
from mmrl_envs.faults.lamps import lamp_states, with_lamps
from mmrl_envs.faults.patterns import State
from mmrl_envs.faults.process import MISSING
from mmrl_envs.readings import reading
from mmrl_envs.wrappers.channels import AVAILABLE

Observation = dict[str, NDArray[Any]]
FaultSpecs = Sequence[Fault | Mapping[str, Any]]


class SensorDropout(
    gymnasium.Wrapper[Observation, Any, Mapping[str, Any], Any], RecordConstructorArgs
):
    """Lets the channels of a Dict observation fail.

    The observation gains `available`, a `MultiBinary` with one entry per channel in the order of
    the Dict's keys. Values of unavailable channels are zeros. A channel in which the environment
    itself delivers NaN, infinity, None or nothing is unavailable; NaN of a fault that is not
    announced arrives, as from a sensor that lies, and lies outside of the space. Where zero lies
    outside of a channel's bounds, the bounds are widened.

    Frames that `StackFrames` has stacked for the agent fail one by one, when they are taken: after
    an outage, those of the outage are not delivered.

    Of goal-conditioned environments Stable-Baselines3's `check_env` wants `compute_reward` at the
    outermost wrapper, where no Gymnasium wrapper has it; its `HerReplayBuffer` finds it inside. It
    computes from what is observed, so goals should not fail.

    `info["faulty"]` holds one boolean per channel: whether it is faulty, announced or not. At the
    end of an episode `info["fault_rates"]` maps channels to the share of observations, the first
    one included, in which they were faulty.

    Faults draw from streams of their own, which are spawned from the seed: the same seed gives the
    same dynamics with and without them, and the same faults whatever the policy does. Faults
    appended to the list leave those before them as they are.

    Args:
        env: An environment with a flat Dict observation of arrays or numbers.
        faults: Faults or their specifications, see :mod:`mmrl_envs.faults.fault`.
        keep_at_least: Announced faults leave so many channels available: when they would take
            more, channels drawn at random are spared for as long as that lasts.
        partial: What a reading is in which some numbers are NaN or infinite: `missing` altogether,
            which is safe for any policy, or to `fill` by what receives it, as encoders of `mmrl`
            do: it arrives with NaN in these places.

    Raises:
        TypeError: The observation is no Dict, or an argument has the wrong type.
        ValueError: A fault does not fit the observation.

    Example:
        >>> import gymnasium, mmrl_envs
        >>> env = gymnasium.make("mmrl/MultimodalPendulum-v0")
        >>> env = mmrl_envs.SensorDropout(env, [{"pattern": "fixed", "channels": ["image"]}])
        >>> observation, info = env.reset(seed=0)
        >>> observation["available"], observation["image"].max(), info["faulty"]
        (array([0, 1], dtype=int8), np.uint8(0), array([ True, False]))
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        faults: FaultSpecs,
        *,
        keep_at_least: int = 1,
        partial: str = MISSING,
    ) -> None:
        self.faults = make_faults(faults)
        RecordConstructorArgs.__init__(
            self, faults=_recorded(self.faults), keep_at_least=keep_at_least, partial=partial
        )
        gymnasium.Wrapper.__init__(self, env)
        channels = failing_channels(env.observation_space)
        self.channels = tuple(channels)
        self._spaces = channels
        self.observation_space = space_with_mask(channels)
        self._numbers = {n for n, space in channels.items() if isinstance(space, spaces.Discrete)}
        self._process = FramewiseProcess(
            self.faults, channels, 1, keep_at_least=keep_at_least, partial=partial
        )
        self._lamps = np.zeros(len(channels), np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode, whose first observation may already be faulty."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._process.restart(np.zeros(1, np.int64), [seed])
        return self._fail(observation, info)

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Step and let the sensors fail."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._process.advance()
        failed, info = self._fail(observation, info)
        if terminated or truncated:
            rates = self._process.rates()[0].tolist()
            info["fault_rates"] = dict(zip(self.channels, rates, strict=True))
        return failed, reward, terminated, truncated, info

    def render(self) -> Any:
        """Return the environment's frame with one lamp per channel below it.

        Green is up, red is announced to be missing, amber is faulty without saying so; the last two
        are said in words, too. What is no RGB array passes unchanged.
        """
        return with_lamps(self.env.render(), self.channels, self._lamps)

    def _fail(
        self, observation: Mapping[str, Any], info: dict[str, Any]
    ) -> tuple[Observation, dict[str, Any]]:
        delivered = {
            name: reading(name, observation.get(name), space)
            for name, space in self._spaces.items()
        }
        lost = np.array([[value is None for value in delivered.values()]])
        batch = {
            name: np.zeros((1, *(space.shape or ())), space.dtype) if value is None else value[None]
            for (name, value), space in zip(delivered.items(), self._spaces.values(), strict=True)
        }
        values, available, faulty = self._process.apply(batch, lost=lost)
        # [0, ...] keeps arrays without axes arrays; a Discrete channel is a number.
        single = {
            name: value[0] if name in self._numbers else value[0, ...]
            for name, value in values.items()
        }
        self._lamps = lamp_states(available, faulty)[0]
        return {**single, AVAILABLE: available[0]}, {**info, "faulty": faulty[0]}


def failing_channels(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """Return the channels of an observation that can fail.

    Raises:
        TypeError: The space is no Dict.
        ValueError: It is empty, nested, has a mask already or holds what is no array.
    """
    if not isinstance(space, spaces.Dict):
        raise TypeError(
            f"sensor faults need a Dict observation with one entry per channel, got {space}"
        )
    channels = dict(space.spaces)
    if AVAILABLE in channels or not channels:
        raise ValueError(
            f"sensor faults need channels and no {AVAILABLE!r} among them, got {list(channels)}; "
            "give all faults to one wrapper"
        )
    for name, channel in channels.items():
        if isinstance(channel, spaces.Dict | spaces.Tuple):
            raise ValueError(
                f"channel {name!r} is nested, flatten it first with FlattenDict: {channel}"
            )
        if channel.shape is None or channel.dtype is None or _first(channel) > 0:
            raise ValueError(
                f"channel {name!r} must hold arrays or numbers from zero, got {channel}"
            )
    return channels


def space_with_mask(channels: Mapping[str, spaces.Space[Any]]) -> spaces.Space[Any]:
    """Return the observation space with the mask, in which every channel admits zeros.

    Channels keep their order, which is the mask's.
    """
    masked: list[tuple[str, spaces.Space[Any]]] = [
        (name, _with_zero(space)) for name, space in channels.items()
    ]
    # The mask stands where sorting puts it: so sorted channels stay sorted.
    place = sum(name < AVAILABLE for name in channels)
    masked.insert(place, (AVAILABLE, spaces.MultiBinary(len(channels))))
    return spaces.Dict(dict(masked), sort_keys=False)


def _with_zero(space: spaces.Space[Any]) -> spaces.Space[Any]:
    if not isinstance(space, spaces.Box) or (np.all(space.low <= 0) and np.all(space.high >= 0)):
        return space
    low, high = np.minimum(space.low, 0), np.maximum(space.high, 0)
    return spaces.Box(low, high, dtype=space.dtype.type)


def _first(space: spaces.Space[Any]) -> int:
    """Return the least number of a discrete space."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return int(np.max(space.start))
    return 0


def _recorded(faults: Sequence[Fault]) -> list[Fault | dict[str, Any]]:
    """Return specifications where there are any: a function cannot be written down."""
    return [
        fault
        if isinstance(fault.pattern, State) and not isinstance(fault.pattern.condition, str)
        else fault.to_spec()
        for fault in faults
    ]
