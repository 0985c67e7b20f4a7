"""When sensors fail: realised rates, lengths of outages, and arguments."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrl_envs.faults import PATTERNS
from mmrl_envs.faults.patterns import (
    Bernoulli,
    Burst,
    Episode,
    Fixed,
    Intervals,
    Pattern,
    Permanent,
    State,
)

LENGTH, CHANNELS, ENVS = 80, 2, 1500


def is_dark(observation: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    return np.asarray(observation["light"] < 0.2)


def schedule(pattern: Pattern, pieces: int = 1, seed: int = 0) -> NDArray[np.bool_]:
    """One episode in each environment, decided in some pieces."""
    uniform = np.random.default_rng(seed).random((LENGTH, CHANNELS, ENVS))
    age = np.repeat(np.arange(LENGTH)[:, None], ENVS, axis=1)
    before = np.random.default_rng(1).random((CHANNELS, ENVS)) < 0.5  # arbitrary at the start
    parts = []
    for piece in np.array_split(np.arange(LENGTH), pieces):
        parts.append(pattern.down(uniform[piece], age[piece], before))
        before = parts[-1][-1]
    return np.concatenate(parts)


def by_definition(burst: Burst, uniform: NDArray[np.float64]) -> list[bool]:
    """The Markov chain, one step after the other."""
    down = [bool(uniform[0] < burst.outage / (burst.outage + burst.uptime))]
    for number in uniform[1:]:
        recovers, fails = number >= 1 - 1 / burst.outage, number < 1 / burst.uptime
        down.append(bool(not recovers if down[-1] else fails))
    return down


@pytest.mark.parametrize(
    "pattern",
    [
        Fixed(),
        Bernoulli(0.0),
        Bernoulli(0.3),
        Bernoulli(1.0),
        Episode(0.3),
        Burst(outage=5, uptime=15),
        Burst(outage=1.5, uptime=1.2),
        Permanent(20),
        Permanent(500),
        Intervals([(0, 4), (10, 30)]),
    ],
    ids=repr,
)
def test_realised_rates_are_the_nominal_ones(pattern: Pattern) -> None:
    """A rate is the share of an episode's observations in which a channel is faulty."""
    down = schedule(pattern)
    assert down.shape == (LENGTH, CHANNELS, ENVS)
    nominal = pattern.probability(LENGTH)
    realised = down.mean(axis=(1, 2))
    np.testing.assert_allclose(realised, nominal, atol=0.05)  # at every step of the episode
    assert down.mean() == pytest.approx(nominal.mean(), abs=0.012)
    np.testing.assert_allclose(down.mean(axis=(0, 2)), nominal.mean(), atol=0.03)


@pytest.mark.parametrize("pattern", [Bernoulli(0.4), Episode(0.4), Burst(4, 6), Burst(1.2, 1.5)])
def test_pieces_join_seamlessly(pattern: Pattern) -> None:
    np.testing.assert_array_equal(schedule(pattern), schedule(pattern, pieces=9))


@pytest.mark.parametrize("pattern", [Bernoulli(0.4), Episode(0.4), Burst(4, 6)])
def test_channels_and_environments_fail_independently(pattern: Pattern) -> None:
    down = schedule(pattern).astype(float)
    per_channel = down.mean(axis=0)
    assert abs(np.corrcoef(per_channel)[0, 1]) < 0.1
    assert abs(np.corrcoef(per_channel[0, :-1], per_channel[0, 1:])[0, 1]) < 0.1


def test_lower_rates_fail_in_a_subset_of_the_steps_of_higher_ones() -> None:
    few, many = schedule(Bernoulli(0.2)), schedule(Bernoulli(0.6))
    assert np.all(many[few])


def test_episode_faults_last_for_the_whole_episode() -> None:
    down = schedule(Episode(0.5))
    assert np.all(down == down[0])


@pytest.mark.parametrize(("outage", "uptime"), [(5, 15), (1, 3), (1.2, 1.1), (1, 1), (30, 2)])
def test_burst_is_the_markov_chain(outage: float, uptime: float) -> None:
    burst = Burst(outage, uptime)
    uniform = np.random.default_rng(0).random((LENGTH, CHANNELS, ENVS))
    down = schedule(burst)
    for channel, env in [(0, 0), (1, 3), (0, 99), (1, 1499)]:
        assert down[:, channel, env].tolist() == by_definition(burst, uniform[:, channel, env])


def test_mean_outage_and_uptime_of_bursts() -> None:
    rng = np.random.default_rng(0)
    age = np.arange(200_000)[:, None]
    down = Burst(6, 20).down(rng.random((len(age), 1, 1)), age, np.zeros((1, 1), np.bool_))[:, 0, 0]
    changes = np.flatnonzero(np.diff(down)) + 1
    lengths = np.diff(changes)
    later = int(down[changes[0]])  # whether the first length is an outage's
    outages, uptimes = lengths[1 - later :: 2], lengths[later::2]
    assert outages.mean() == pytest.approx(6, rel=0.04)
    assert uptimes.mean() == pytest.approx(20, rel=0.04)


def test_scripted_patterns() -> None:
    assert np.flatnonzero(schedule(Permanent(77))[:, 0, 0]).tolist() == [77, 78, 79]
    down = schedule(Intervals([(0, 2), (5, 6)]))
    assert np.flatnonzero(down[:, 1, 7]).tolist() == [0, 1, 5]


def test_state_dependent_condition() -> None:
    pattern = State(is_dark)
    light = np.array([0.1, 0.9, 0.15])
    assert pattern.active({"light": light}, 3).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="must return 4 booleans, one per environment, got bool"):
        pattern.active({"light": light}, 4)
    with pytest.raises(ValueError, match="no nominal rate"):
        pattern.probability(10)


def test_state_dependent_condition_by_name() -> None:
    assert str(State("numpy:isnan").function()) == "<ufunc 'isnan'>"
    with pytest.raises(ValueError, match=r"importable as 'package.module:function'.*no_such"):
        State("no_such:thing")
    with pytest.raises(ValueError, match=r"importable as 'package.module:function'"):
        State("numpy")
    with pytest.raises(TypeError, match="must name a function"):
        State("numpy:pi")


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("bernoulli", {"rate": 1.5}, r"rate must be within \[0, 1\], got 1.5"),
        ("bernoulli", {"rate": math.nan}, "within"),
        ("episode", {"rate": -0.1}, "within"),
        ("burst", {"outage": 0.5, "uptime": 3}, "outage must be at least 1 step, got 0.5"),
        ("burst", {"outage": 5, "uptime": math.inf}, "uptime must be finite"),
        ("permanent", {"start": -1}, "start must be at least 0, got -1"),
        ("intervals", {"intervals": [(3, 3)]}, "stop of an interval must be at least 4, got 3"),
        ("intervals", {"intervals": [(3,)]}, "list of .start, stop. pairs"),
    ],
)
def test_bad_arguments_are_refused(kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PATTERNS[kind](**arguments)
