"""What a run is configured by: frozen dataclasses, made from the files in `configs/` and overrides.

Hydra composes the files; here the result becomes plain data. Unknown settings and bad values are
refused before any work, with what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mmrl.methods.method import MethodConfig
from mmrl.methods.settings import read_method
from mmrl.report.results import REWARD_PER_STEP, check_score
from mmrl.runs.settings import RunSettings, SweepConfig, check_known
from mmrl.settings import ConfigError, typed
from mmrl.subsets import check_choice
from mmrl.training.config import FitConfig
from mmrl_agents.belief.config import NO_BELIEF, BeliefConfig
from mmrl_agents.config import AgentConfig
from mmrl_envs.faults import make_faults
from mmrl_envs.wrappers.wrapping import check_wrappers

CONTROL = "control"
RANDOM, WARMUP, TEACHER = "random", "warmup", "teacher"
"""Who acts while observations are collected, besides a policy that is given by its path."""

NO_RUNNING_STATISTICS = (
    "the wrapper 'normalize' needs update: false and a file of statistics here: running ones would "
    "differ between environments, and between collecting, training and evaluation. Encoders need "
    "none (method.standardize: statistics of what was collected are saved with the encoder), and a "
    "policy without an encoder has agent.normalize: true"
)


@dataclass(frozen=True)
class EnvConfig:
    """Which environment.

    Args:
        id: Gymnasium id; `module:Id-v0` imports the module first.
        kwargs: Arguments of the environment.
        wrappers: What makes a Dict observation with one entry per sensor of it, see
            `mmrl_envs.wrappers.wrapping`; the first is innermost.
        processes: Whether each environment runs in a process of its own, which pays where a step
            takes milliseconds and cores are idle; `n_envs` of `agent`, `collect` and `evaluate` say
            how many.
        kinds: Kind of a modality by its name, where `Modality.from_space` gets it wrong.
        shared_scale: Modalities whose numbers are all of one unit, see `Modality`.
        partial: What a reading without some of its numbers is, by the modality's name: `missing`,
            `fill` or `indicate`, see `Modality`.
        angles: Columns of the `state` in the environment's info that are angles in radians.
        score: What tables and plots show of an episode: `reward_per_step`, or `return` (the sum of
            rewards), which suits episodes that end early; files have both.
        reference: Scores of known policies by name; drawn as lines in plots.
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    wrappers: list[dict[str, Any]] = field(default_factory=list)
    processes: bool = False
    kinds: dict[str, str] = field(default_factory=dict)
    shared_scale: tuple[str, ...] = ()
    partial: dict[str, str] = field(default_factory=dict)
    angles: list[int] = field(default_factory=list)
    score: str = REWARD_PER_STEP
    reference: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_score(self.score)
        check_wrappers(self.wrappers)
        for spec in self.wrappers:
            if spec["name"] == "normalize" and spec.get("update", True):
                raise ValueError(NO_RUNNING_STATISTICS)


@dataclass(frozen=True)
class FaultsConfig:
    """How sensors fail while the policy is trained (evaluation has its own conditions).

    Args:
        models: Fault specifications, see `mmrl_envs.faults.make_faults`; none means no failures.
        rate: For the files of the group `faults` to refer to.
        keep_at_least: How many sensors are spared at any time.
    """

    models: list[dict[str, Any]] = field(default_factory=list)
    rate: float | None = None
    keep_at_least: int = 1


@dataclass(frozen=True)
class CollectConfig:
    """What the encoder is pretrained on: observations, and who acts while they are made.

    Args:
        policy: `random`: uniformly random actions. `warmup`: a policy that is trained for
            `warmup_timesteps` on what the environment returns without its wrappers. `teacher`: the
            run's own policy, which is trained first, on the sensors of `agent.sees`. Or a path: the
            folder of a run with the same sensors, or a zip that Stable-Baselines3 saved, of a
            policy on what the environment returns without its wrappers; nothing is unpickled.
        warmup_timesteps: Environment steps for which the warm-up policy is trained.
        agent: Algorithm of the warm-up policy, or of the zip; None: that of the run.
        random_episodes: Share of episodes in which a policy's actions are replaced by random ones,
            for data that cover more than it does.
        random_actions: Share of steps of the other episodes.
        samples: For training.
        test_samples: For the probes that measure the representation.
        restart_every: Steps after which an environment starts anew, for data that cover the states
            in which a policy lives; None: one uninterrupted trajectory.
        n_envs: Environments stepped at once.
        keep: Whether the data stay in the run folder when pretraining is finished.
    """

    policy: str = RANDOM
    warmup_timesteps: int = 50_000
    agent: AgentConfig | None = None
    random_episodes: float = 0.2
    random_actions: float = 0.1
    samples: int = 20_000
    test_samples: int = 2_000
    restart_every: int | None = 50
    n_envs: int = 50
    keep: bool = False

    def __post_init__(self) -> None:
        _positive(self, "samples", "test_samples", "n_envs", "warmup_timesteps")
        for name in ("random_episodes", "random_actions"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.restart_every is not None:
            _positive(self, "restart_every")


@dataclass(frozen=True)
class ConditionConfig:
    """One way in which sensors fail while an agent is evaluated.

    Args:
        name: In tables and plots.
        faults: Fault specifications, see `mmrl_envs.faults.make_faults`.
        rate: Nominal share of steps at which a sensor is missing, where that is the point.
    """

    name: str
    faults: list[dict[str, Any]] = field(default_factory=list)
    rate: float = 0.0

    def __post_init__(self) -> None:
        make_faults(self.faults)


@dataclass(frozen=True)
class EvaluateConfig:
    """How robustness is measured.

    Args:
        episodes: Per condition; every condition has the same starts.
        n_envs: Episodes that run at once.
        max_steps: Steps after which an episode is cut off; None: those that the environment was
            registered with (`max_episode_steps`), 1,000 where it has no time limit.
        subsets: Under which subsets of the sensors: `all`, `single` (each alone), `leave_one_out`,
            or a list such as `[camera+touch, camera]`, each beside all sensors. None: all subsets
            of up to five sensors, of more each alone and all but one.
        rates: Shares of steps at which every sensor is missing on its own, each in [0, 1).
        conditions: More conditions, after the subsets of the sensors and the rates.
        video: Whether a video is made of an episode in which sensors go down and come back.
        probe: Whether the representation is probed for the environment's state.
        probe_steps: Optimisation steps of the probe.
        confidence: Confidence of the bootstrap intervals, in (0, 1).
    """

    episodes: int = 100
    n_envs: int = 100
    max_steps: int | None = None
    subsets: Any = None
    rates: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    conditions: tuple[ConditionConfig, ...] = ()
    video: bool = True
    probe: bool = True
    probe_steps: int = 3_000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _positive(self, "episodes", "n_envs", "probe_steps")
        if self.max_steps is not None:
            _positive(self, "max_steps")
        check_choice(self.subsets)
        if bad := [rate for rate in self.rates if not 0 <= rate < 1]:
            raise ValueError(f"rates must be at least 0 and below 1, got {bad}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")


@dataclass(frozen=True)
class TrainConfig:
    """A run: `python -m mmrl.train`.

    Args:
        env: The environment.
        agent: The policy and how it is trained.
        collect: What the encoder is pretrained on.
        fit: How the encoder is pretrained.
        evaluate: How robustness is measured.
        faults: How sensors fail while the policy is trained; with a belief, while that is: then
            the policy learns with nothing failing.
        sweep: Several runs instead of one.
        method: Name of the representation's method; `none`: learn from the observation itself.
        method_settings: Settings of the method; None where there is no method.
        belief: What fills in for missing sensors.
        task: `control`.
        experiment: Name in the run folder's name.
        label: Name of the agent in tables and plots.
        seed: Seed of everything random.
        device: Device of the encoder and the policy: `auto`, `cpu`, `cuda`, `cuda:1`, … Pretraining
            is on one of the same kind, unless `fit.accelerator` says otherwise.
        outputs: Folder in which run folders are made.
        encoder: Folder of a run, of control or classification, whose encoder is taken instead of
            pretraining one; None pretrains by `method`, `collect` and `fit`.
        threads: Threads that torch computes with on the CPU. One is fastest at the sizes of most
            runs; large networks may gain by more. None: as many as torch takes by itself (see
            OMP_NUM_THREADS).
    """

    env: EnvConfig
    agent: AgentConfig
    collect: CollectConfig
    fit: FitConfig
    evaluate: EvaluateConfig
    faults: FaultsConfig
    sweep: SweepConfig
    method: str
    method_settings: MethodConfig | None
    belief: BeliefConfig = field(default_factory=BeliefConfig)
    task: str = CONTROL
    experiment: str = "default"
    label: str = "agent"
    seed: int = 0
    device: str = "auto"
    outputs: str = "outputs"
    encoder: str | None = None
    threads: int | None = 1

    def __post_init__(self) -> None:
        if self.task != CONTROL:
            raise ValueError(f"task is {self.task!r}; these settings are for {CONTROL!r}")
        if self.collect.policy == TEACHER and not self.agent.without_encoder:
            raise ValueError(
                f"collect.policy is {TEACHER!r}, whose policy is trained before the encoder: name "
                "the sensors that it sees in agent.sees, or give a zip as agent.policy"
            )
        if self.encoder is not None and self.method_settings is None:
            raise ValueError(f"encoder is {self.encoder!r}, but method is none: give one of them")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    @property
    def policy_meets_faults(self) -> bool:
        """Whether sensors may fail in the environment in which the policy is trained."""
        failing = bool(self.faults.models) and self.belief.name == NO_BELIEF
        return failing or self.agent.finetune


def from_mapping(content: Mapping[str, Any]) -> TrainConfig:
    """Checks a configuration in plain data and makes frozen dataclasses of it.

    Raises:
        ConfigError: An unknown setting (the known ones are named), a value of the wrong type or out
            of range, or a setting that is missing.
    """
    plain = dict(content)
    schemas = {
        "env": EnvConfig,
        "agent": AgentConfig,
        "collect": CollectConfig,
        "fit": FitConfig,
        "evaluate": EvaluateConfig,
        "faults": FaultsConfig,
        "sweep": SweepConfig,
        "belief": BeliefConfig,
    }
    check_known(content, [*schemas, "method"])
    given = {name: plain.pop(name, None) for name in (*schemas, "method")}
    rest = typed(RunSettings, plain, "")
    method, settings = read_method(given.pop("method"))
    parts: dict[str, Any] = {name: typed(schemas[name], given[name], name) for name in given}
    try:
        return TrainConfig(
            **parts,
            method=method,
            method_settings=settings,
            **{f.name: getattr(rest, f.name) for f in fields(rest)},
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
