"""What does not fit an environment is refused before any work."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

from mmrl.control.check import check_conditions, check_environment
from mmrl.control.config import TrainConfig, from_mapping
from mmrl.control.entry import Control
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.settings import to_stored
from mmrl.runs.sweep import check_sweep
from mmrl.settings import ConfigError

CART = ["env=gymnasium", "env.id=CartPole-v1", "agent=ppo", "method=none"]
CART += ["env.wrappers=[{name: split, slices: {place: [0, 2], pole: [2, 4]}}]"]


def config(*overrides: str) -> TrainConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=["device=cpu", *overrides]))
    plain.pop("resume")
    return from_mapping(plain)


def conditions(*faults: str) -> str:
    specs = (f"{{name: c{i}, faults: [{fault}]}}" for i, fault in enumerate(faults))
    return f"evaluate.conditions=[{', '.join(specs)}]"


HEALTHY = "{pattern: fixed, mechanism: occlusion, size: 0.4, channels: [image]}"
UNFIT = "{pattern: fixed, mechanism: occlusion, size: 0.4, channels: [sound]}"
UNMEASURED = "{pattern: fixed, mechanism: noise, strength: 0.1, channels: [pole]}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([conditions("{pattern: fixed, channels: [smell]}")], r"'c0': no channels \['smell'"),
        ([conditions(HEALTHY, UNFIT)], r"condition 'c1': occlusion needs an image"),
        ([*CART, conditions(UNMEASURED)], r"condition 'c0': .*'pole' has no .*a 'scale'"),
        ([conditions(UNFIT.replace("}", ", announced: true}"))], r"'c0': occlusion needs an image"),
    ],
)
def test_conditions_whose_faults_do_not_fit(overrides: list[str], message: str) -> None:
    made = config(*overrides)
    for check in (check_environment, check_conditions):
        with pytest.raises(ConfigError, match=message):
            check(made)


def test_conditions_whose_faults_fit() -> None:
    every_sensor = "{pattern: fixed, mechanism: freeze}, {pattern: fixed}"
    check_environment(config(conditions(HEALTHY, every_sensor)))
    check_environment(config(*CART, conditions(UNMEASURED.replace("}", ", scale: 2}"))))


def test_faults_of_training_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="faults: occlusion needs an image"):
        check_environment(config(f"faults.models=[{UNFIT}]"))


def test_faults_of_one_run_of_a_sweep_that_do_not_fit() -> None:
    told, nosy = "[{pattern: fixed}]", "[{pattern: fixed, channels: [smell]}]"
    runs = f"{{told: {{faults: {{models: {told}}}}}, nosy: {{faults: {{models: {nosy}}}}}}}"
    made = config(f"+sweep.runs={runs}", "method=none")
    with pytest.raises(ConfigError, match=r"sweep\.runs\.nosy: .*no channels \['smell'"):
        check_sweep(Control(), to_stored(made))
