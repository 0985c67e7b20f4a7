"""Settings: every file composes, and what is wrong is refused with what is known."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir

from mmrl.control.config import (
    EnvConfig,
    FaultsConfig,
    TrainConfig,
    from_mapping,
)
from mmrl.methods import METHODS
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.modality import Modality
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.settings import to_stored
from mmrl.settings import ConfigError, typed
from mmrl.training.config import FitConfig
from mmrl_agents.config import AgentConfig

SCHEMAS: dict[str, type] = {
    "agent": AgentConfig,
    "env": EnvConfig,
    "faults": FaultsConfig,
    "fit": FitConfig,
}
EXPERIMENTS = sorted(
    path.stem
    for path in (CONFIGS / "experiment").glob("*.yaml")
    if "override /task: classification" not in path.read_text()
)


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=list(overrides)))
    plain.pop("resume")
    return plain


def config(*overrides: str) -> TrainConfig:
    return from_mapping(composed(*overrides))


def options(group: str) -> list[str]:
    there = {path.stem for path in (CONFIGS / group).glob("*.yaml")}
    return sorted(there | (set(METHODS) - {"downstream"} if group == "method" else set()))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes(experiment: str) -> None:
    assert config(f"experiment={experiment}").experiment == experiment


@pytest.mark.parametrize(
    ("group", "option"),
    [(g, o) for g in ("agent", "env", "faults", "fit", "method") for o in options(g)],
)
def test_every_option_composes_and_lists_every_setting(group: str, option: str) -> None:
    node = composed(f"{group}={option}", "env.id=x")[group]
    from_mapping(composed(f"{group}={option}", "env.id=x"))
    schema = SCHEMAS.get(group)
    if group == "method":
        schema = None if option == "none" else METHODS[node.pop("name")].Config
    known = set() if schema is None else {f.name for f in fields(schema)}
    known -= {"outputs", "task"} if group == "method" else set()  # what the data decide
    assert known - set(node) == set(), "a setting that the file lacks cannot be overridden"


def test_the_label_is_the_method() -> None:
    assert config().label == config().method == "gmc"


def test_stored_settings_are_read_back() -> None:
    for experiment in EXPERIMENTS:
        made = config(f"experiment={experiment}")
        assert from_mapping(yaml.safe_load(yaml.safe_dump(to_stored(made)))) == made


def test_settings_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="task is 'x'; these settings are for 'control'"):
        from_mapping(composed() | {"task": "x"})
    with pytest.raises(ConfigError, match="unknown setting data, pretrain, missing, classifier"):
        from_mapping(composed("task=classification"))


def test_mhd_is_configured_with_the_papers_sizes() -> None:
    modalities = [
        Modality("image", (1, 28, 28), "image"),
        Modality("sound", (1, 32, 128), "sound"),
        Modality("trajectory", (200,), "vector"),
        Modality("label", (10,), "label"),
    ]
    settings = config("method=gmc_mhd").method_settings
    assert isinstance(settings, GMCConfig)
    assert sum(p.numel() for p in GMC(modalities, settings).parameters()) == 2_884_224
    assert (settings.temperature, settings.radius) == (0.1, 1.0)


def test_no_method_means_no_settings() -> None:
    made = config("method=none")
    assert (made.method, made.method_settings) == ("none", None)


def test_the_paper_is_configured_as_it_is() -> None:
    pretraining = ["method=gmc_paper", "fit=paper", "collect.restart_every=null"]
    made = config("experiment=pendulum_paper", "collect.n_envs=1", *pretraining)
    assert (made.fit.epochs, made.fit.steps, made.fit.schedule) == (500, None, "constant")
    assert (made.collect.restart_every, made.collect.n_envs) == (None, 1)
    assert made.agent.action_rule == "paper"
    assert made.agent.total_timesteps == 25_000 + 150_000
    assert made.method_settings is not None
    assert not made.method_settings.standardize


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "+collect.sample=3",
            r"unknown setting collect\.sample; known in collect: policy, .*samples, test_s",
        ),
        ("+agent.framez=3", r"unknown setting agent\.framez; known in agent: algorithm, total_"),
        ("+agent.action_noise.sigmaa=1", r"unknown setting agent\.action_noise\.sigmaa; known in"),
        ("+method.bar=1", r"unknown setting method\.bar; known in method: latent_dim"),
        ("+sede=1", r"unknown setting sede; known: task, experiment, label, seed"),
        ("seed=x", r"seed must be a whole number, got 'x'"),
        ("seed=1.5", r"seed must be a whole number, got 1\.5"),
        ("seed=true", r"seed must be a whole number, got True"),
        ("seed=-1", r"seed must not be negative, got -1"),
        ("collect.samples=0", r"collect: samples must be at least 1, got 0"),
        ("collect=3", r"collect must be a group of settings, got 3"),
        ("collect.keep=maybe", r"collect\.keep must be true or false, got 'maybe'"),
        ("fit.lr=fast", r"fit\.lr must be a number, got 'fast'"),
        ("fit.schedule=x", r"fit: schedule is 'x'; known"),
        (
            "evaluate.rates=[0.5,1.0]",
            r"evaluate: rates must be at least 0 and below 1, got \[1\.0\]",
        ),
        ("evaluate.rates=[a]", r"evaluate\.rates\[0\] must be a number, got 'a'"),
        ("evaluate.rates=0.5", r"evaluate\.rates must be a list, got 0\.5"),
        ("evaluate.confidence=95", r"confidence must lie between 0 and 1, got 95"),
        ("+agent.arguments.gama=1", r"agent: unknown argument of sac: gama; known: .*gamma"),
        ("agent.algorithm=sca", r"agent: .*sca"),
        ("method.name=gcm", r"method\.name is 'gcm'; known: .*gmc.*none"),
        ("method.temperature=0", r"method: temperature must be positive"),
        ("env=gymnasium", r"env\.id"),
        ("env.score=x", r"env: score is 'x'; known: .*reward_per_step.*return"),
        ("sweep.seeds=[1,1]", r"seeds must be at least one and differ, got \[1, 1\]"),
        ("sweep.rates=[0.5]", r"sweep: rates=\[0\.5\] belong to a sweep, which has no runs"),
        ("+sweep.runs.a.seed=3", r"sweep: runs\.a cannot have a seed of its own"),
    ],
)
def test_bad_settings_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(override)


def test_whole_numbers_are_numbers() -> None:
    assert config("fit.lr=1").fit.lr == 1.0


def test_required_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="env needs id"):
        typed(EnvConfig, {}, "env")


def test_the_files_stand_beside_the_package_or_in_the_checkout() -> None:
    assert (Path(CONFIGS) / "train.yaml").is_file()
