"""Fault specifications."""

import json
from typing import Any

import pytest

from mmrl_envs.faults import MECHANISMS, PATTERNS, Fault, expected_rates, make_faults
from mmrl_envs.faults.patterns import Bernoulli, State

SPECS: list[dict[str, Any]] = [
    {"pattern": "fixed", "channels": ["image"]},
    {"pattern": "bernoulli", "rate": 0.3},
    {"pattern": "episode", "rate": 0.3, "announced": False},
    {"pattern": "burst", "outage": 10, "uptime": 40, "channels": ["sound", "image"]},
    {"pattern": "permanent", "start": 100},
    {"pattern": "intervals", "intervals": [[0, 5], [9, 12]]},
    {"pattern": "state", "condition": "numpy:isnan"},
    {"pattern": "fixed", "mechanism": "freeze"},
    {"pattern": "fixed", "mechanism": "noise", "strength": 0.1, "scale": 3},
    {"pattern": "fixed", "mechanism": "salt_and_pepper", "share": 0.1},
    {"pattern": "fixed", "mechanism": "bias", "strength": -0.1},
    {"pattern": "fixed", "mechanism": "drift", "strength": 0.01},
    {"pattern": "fixed", "mechanism": "delay", "steps": 5, "jitter": 2},
    {"pattern": "fixed", "mechanism": "occlusion", "size": 0.4},
    {"pattern": "fixed", "mechanism": "saturation", "limit": 0.5},
    {"pattern": "fixed", "mechanism": "nan", "announced": True},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_specifications_survive_a_round_trip_through_json(spec: dict[str, Any]) -> None:
    fault = Fault.from_spec(spec)
    plain = fault.to_spec()
    assert spec.items() <= plain.items()
    assert Fault.from_spec(json.loads(json.dumps(plain))).to_spec() == plain


def test_every_pattern_and_mechanism_is_tested() -> None:
    assert {spec["pattern"] for spec in SPECS} == set(PATTERNS)
    assert {spec.get("mechanism", "blackout") for spec in SPECS} == set(MECHANISMS)


def test_make_faults_takes_faults_and_specifications() -> None:
    fault = Fault(Bernoulli(0.1))
    assert make_faults([fault, {"pattern": "bernoulli", "rate": 0.1}]) == (fault, fault)
    assert make_faults([]) == ()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"pattern": "bernouli", "rate": 0.3}, r"pattern must be one of \['fixed', 'bernoulli'"),
        ({"rate": 0.3}, "pattern must be one of .* got None"),
        ({"pattern": "fixed", "mechanism": "explode"}, r"mechanism must be one of \['blackout'"),
        ({"pattern": "fixed", "rate": 0.3}, r"unknown keys \['rate'\].* known are \['pattern', "),
        ({"pattern": "bernoulli"}, r"needs \['rate'\]"),
        ({"pattern": "bernoulli", "rate": 2}, "within"),
        ({"pattern": "fixed", "channels": []}, "at least one channel"),
        ({"pattern": "fixed", "channels": ["a", "b", "a"]}, r"each channel once, got \['a', 'b', "),
        ({"pattern": "intervals", "intervals": [5, 10]}, r"list of \(start, .* got \[5, 10\]"),
        ({"pattern": "intervals", "intervals": 3}, r"list of \(start, stop\) pairs, got 3"),
        ({"pattern": "intervals", "intervals": "35"}, r"list of \(start, stop\) pairs, got '35'"),
    ],
)
@pytest.mark.usefixtures("unenforced")
def test_bad_specifications_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault.from_spec(spec)


@pytest.mark.usefixtures("unenforced")
def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="channels must be a list of names, got 'image'"):
        Fault.from_spec({"pattern": "fixed", "channels": "image"})
    with pytest.raises(TypeError, match="announced must be true or false, got 'yes'"):
        Fault.from_spec({"pattern": "fixed", "announced": "yes"})
    with pytest.raises(TypeError, match="rate"):
        Fault.from_spec({"pattern": "bernoulli", "rate": "0.3"})
    with pytest.raises(TypeError, match=r"condition must be a function or its .* got 3"):
        Fault.from_spec({"pattern": "state", "condition": 3})


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["fixed"], r"a fault must be a mapping such as {'pattern': 'fixed'}, got 'fixed'"),
        ("fixed", "faults must be a list of faults, got 'fixed'"),
        ({"pattern": "fixed"}, "faults must be a list of faults, got {"),
        (3, "faults must be a list of faults, got 3"),
    ],
)
def test_what_is_no_list_of_faults_is_refused(specs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make_faults(specs)


def test_functions_cannot_be_written_down() -> None:
    with pytest.raises(ValueError, match=r"give it as 'package.module:function'"):
        Fault(State(lambda observation: observation["a"] > 0)).to_spec()


def test_channels_of_a_fault() -> None:
    fault = Fault.from_spec({"pattern": "fixed", "channels": ["sound"]})
    assert fault.on(["image", "sound"]) == ("sound",)
    assert Fault(Bernoulli(0.1)).on(["image", "sound"]) == ("image", "sound")
    with pytest.raises(ValueError, match=r"no channels \['sound'\], .* has \['image'\]"):
        fault.on(["image"])


def test_expected_rates_join_the_faults_of_a_channel() -> None:
    faults = make_faults(
        [
            {"pattern": "bernoulli", "rate": 0.5},
            {"pattern": "permanent", "start": 5, "channels": ["image"]},
            {"pattern": "intervals", "intervals": [[4, 7]], "channels": ["image"]},
        ]
    )
    assert expected_rates(faults, ["image", "sound"], 10) == {"image": 0.8, "sound": 0.5}
