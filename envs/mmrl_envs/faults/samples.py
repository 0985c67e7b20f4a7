"""Faults of data sets: which modalities of which samples are missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmrl_envs.faults.fault import Fault
from mmrl_envs.faults.patterns import State
from mmrl_envs.faults.streams import SPARING, TIMES, Sparing, Stream
from mmrl_envs.validation import check_integer


def sample_available(
    faults: Sequence[Fault],
    channels: Sequence[str],
    samples: int,
    *,
    seed: int,
    episode_length: int = 1,
    keep_at_least: int = 1,
) -> NDArray[np.bool_]:
    """Return which channels of a data set's samples are available.

    The same specification as for environments: consecutive samples form episodes, by default of
    one sample each, so that "bernoulli" and "episode" mean the same.

    Args:
        faults: Announced faults.
        channels: Names of the channels.
        samples: Number of samples.
        seed: Decides everything; more samples leave the first ones as they are.
        episode_length: Samples per episode, for patterns in time.
        keep_at_least: So many channels of every sample stay available.

    Returns:
        Availability, shape (samples, channels).

    Raises:
        TypeError: A number is no integer.
        ValueError: A number is out of range, a fault names an unknown channel, depends on the
            state, or is not announced, which would not make anything missing.

    Example:
        >>> from mmrl_envs.faults.fault import make_faults
        >>> faults = make_faults([{"pattern": "bernoulli", "rate": 0.5, "channels": ["sound"]}])
        >>> sample_available(faults, ["image", "sound"], 1000, seed=0).mean(axis=0).round(1)
        array([1. , 0.5])
    """
    check_integer("samples", samples, 0)
    check_integer("episode_length", episode_length, 1)
    check_integer("keep_at_least", keep_at_least, 0, len(channels))
    episodes = math.ceil(samples / episode_length)
    age = np.repeat(np.arange(episode_length)[:, None], episodes, axis=1)
    missing = np.zeros((episode_length, len(channels), episodes), np.bool_)

    def draw(width: int, *key: int) -> NDArray[np.float64]:
        stream = Stream(seed, *key).generator
        return stream.random((episodes, episode_length, width)).transpose(1, 2, 0)

    for number, fault in enumerate(faults):
        if isinstance(fault.pattern, State) or not fault.announced:
            raise ValueError(f"samples are missing by announced faults in time only, got {fault}")
        columns = [list(channels).index(name) for name in fault.on(channels)]
        before = np.zeros((len(columns), episodes), np.bool_)
        down = fault.pattern.down(draw(len(columns), number, TIMES), age, before)
        missing[:, columns] |= down
    if episodes:
        sparing = Sparing(len(channels), episodes, keep_at_least)
        sparing.spare(missing, draw(len(channels), *SPARING), slice(None))
    return ~missing.transpose(2, 0, 1).reshape(-1, len(channels))[:samples]
