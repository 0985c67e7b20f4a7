"""What a classification run is configured by; `task=classification` composes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from mmrl.data.dataset import DataSet
from mmrl.data.missingness import make_rules
from mmrl.data.protocol import MissingnessProtocol
from mmrl.data.sets import LOADERS
from mmrl.methods import METHODS, PREDICTOR, Method, Supervised
from mmrl.methods.method import MethodConfig
from mmrl.methods.settings import read_method
from mmrl.runs.settings import RunSettings, SweepConfig, check_known
from mmrl.settings import ConfigError, typed
from mmrl.subsets import check_choice
from mmrl.training.config import FitConfig

CLASSIFICATION = "classification"
DECIDED_BY_DATA = ("outputs", "task")
METHOD_TASKS = {"classes": "classification", "labels": "labels", "numbers": "regression"}
"""What a method is told about the targets of a data set."""
AS_TRAINING = "train"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class DataConfig:
    """Which data set.

    Args:
        name: One of `mmrl.data.sets.LOADERS`.
        path: Path of the data set's files; None for a data set that is shipped.
        options: Options of the data set's loader, see `mmrl.data.sets.load`.
        missing: The rule that a missing rate alone is of, without its rate.
        rates: For `missing.test` to refer to.
    """

    name: str
    path: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, Any] = field(default_factory=lambda: {"pattern": "bernoulli"})
    rates: tuple[float, ...] = RATES

    def __post_init__(self) -> None:
        if self.name not in LOADERS:
            raise ValueError(f"unknown data set {self.name!r}; known: {', '.join(LOADERS)}")


@dataclass(frozen=True)
class MissingConfig:
    """Which modalities are missing; see `mmrl.data.missingness.make_rules` for rules.

    Args:
        train: In training: None, a rate of the data's own rule, a rule, or a list of rules.
        valid: In validation, the same, or `train`: what training has.
        test: In the test, the same, or several rates; beside them subsets of the modalities
            are scored (`evaluate.subsets`).
    """

    train: Any = None
    valid: Any = AS_TRAINING
    test: Any = RATES

    def __post_init__(self) -> None:
        for name in ("train", "valid", "test"):
            value = getattr(self, name)
            if name == "valid" and value == AS_TRAINING:
                continue
            parts = value if isinstance(value, list | tuple) else [value]
            rates = name == "test" and all(_is_rate(part) for part in parts)
            rules = all(isinstance(part, Mapping) for part in parts)
            if not (value is None or _is_rate(value) or rates or rules):
                also = {"test": ", several rates", "valid": f", {AS_TRAINING!r}"}.get(name, "")
                raise ValueError(
                    f"{name} must be null, a rate{also}, a rule or a list of rules, got {value!r}"
                )

    @property
    def tests(self) -> tuple[Any, ...]:
        """The test's conditions one by one, each a rate, a rule or a list of rules."""
        if self.test is None:
            return ()
        if isinstance(self.test, list | tuple) and all(_is_rate(part) for part in self.test):
            return tuple(self.test)
        return (self.test,)


@dataclass(frozen=True)
class ScoresConfig:
    """What is scored.

    Args:
        subsets: Subsets of the modalities: `all`, `single` (each alone), `leave_one_out`, or a list
            such as `[image+sound, image]`, each beside all modalities. None: all subsets of up to
            five, of more each alone and all but one.
    """

    subsets: Any = None

    def __post_init__(self) -> None:
        check_choice(self.subsets)


@dataclass(frozen=True)
class ClassifierConfig:
    """What predicts from the frozen representation of a method that learns without labels.

    Args:
        hidden: Widths of the classifier's hidden layers.
        finetune: Whether the representation learns as well.
    """

    hidden: tuple[int, ...] = (256, 128)
    finetune: bool = False

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden must be positive widths, got {list(self.hidden)}")


@dataclass(frozen=True)
class ClassificationConfig:
    """A run: `python -m mmrl.train task=classification`.

    Args:
        data: The data set.
        missing: Which of its modalities are missing.
        fit: How a supervised method is trained, or the classifier.
        pretrain: How a method that learns without labels is trained before.
        classifier: What then predicts.
        method: Name of the method.
        method_settings: Its settings; outputs and task are the data's.
        evaluate: Which subsets are scored.
        sweep: Several runs instead of one.
        task: `classification`, also where the targets are labels or numbers.
        experiment: Name in the run folder's name.
        label: Name of the method in tables and plots.
        seed: Seed of everything random, also of what is missing.
        device: Device of the method: `auto`, `cpu`, `cuda`, `cuda:1`, …
        outputs: Folder in which run folders are made.
        encoder: Folder of a run, of control or classification, on whose encoder a classifier is
            trained, instead of `method`.
        threads: Threads that torch computes with on the CPU. One is fastest at the sizes of most
            runs; large networks may gain by more. None: as many as torch takes by itself (see
            OMP_NUM_THREADS).
    """

    data: DataConfig
    missing: MissingConfig
    fit: FitConfig
    pretrain: FitConfig
    classifier: ClassifierConfig
    method: str
    method_settings: MethodConfig
    evaluate: ScoresConfig = field(default_factory=ScoresConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    task: str = CLASSIFICATION
    experiment: str = "default"
    label: str = "method"
    seed: int = 0
    device: str = "auto"
    outputs: str = "outputs"
    encoder: str | None = None
    threads: int | None = 1

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        self._check_rules("train", self.missing.train)
        if self.missing.valid != AS_TRAINING:
            self._check_rules("valid", self.missing.valid)
        for spec in self.missing.tests:
            self._check_rules("test", spec)

    def _check_rules(self, split: str, spec: Any) -> None:
        try:
            make_rules(spec, self.data.missing)
        except (TypeError, ValueError) as error:
            raise ValueError(f"missing.{split}: {error}") from error

    @property
    def is_supervised(self) -> bool:
        """Whether the method learns from labels itself."""
        return self.encoder is None and issubclass(METHODS[self.method], Supervised)

    @property
    def learner(self) -> type[Method]:
        """What learns from the labels: the method, or a predictor on its representation."""
        return METHODS[self.method if self.is_supervised else PREDICTOR]

    def protocol(self, test: Any) -> MissingnessProtocol:
        """What is missing in training and validation, and in the test under one condition."""
        return MissingnessProtocol.make(
            self.missing.train,
            test,
            None if self.missing.valid == AS_TRAINING else self.missing.valid or (),
            self.seed,
            self.data.missing,
        )

    def settings_for(self, data: DataSet) -> MethodConfig:
        """The method's settings with what the data decide."""
        if not self.is_supervised:
            return self.method_settings
        task = METHOD_TASKS[data.task]
        return replace(self.method_settings, outputs=data.outputs, task=task)  # type: ignore[call-arg]


def classification_from_mapping(content: Mapping[str, Any]) -> ClassificationConfig:
    """Checks a configuration in plain data and makes frozen dataclasses of it.

    Raises:
        ConfigError: An unknown setting (the known ones are named), a value of the wrong type or out
            of range, or a setting that is missing.
    """
    plain = dict(content)
    schemas = {
        "data": DataConfig,
        "missing": MissingConfig,
        "fit": FitConfig,
        "pretrain": FitConfig,
        "classifier": ClassifierConfig,
        "evaluate": ScoresConfig,
        "sweep": SweepConfig,
    }
    check_known(content, [*schemas, "method"])
    parts: dict[str, Any] = {
        name: typed(schema, plain.pop(name, None), name) for name, schema in schemas.items()
    }
    given = plain.pop("method", None)
    method, settings = read_method(given)
    if settings is None:
        known = ", ".join(sorted(set(METHODS) - {PREDICTOR}))
        raise ConfigError(f"method is {method!r}, and classification wants one of {known}")
    if wrong := sorted(set(given) & set(DECIDED_BY_DATA)):
        raise ConfigError(f"method.{wrong[0]} is not set: it is what the data have")
    rest = typed(RunSettings, plain, "")
    if rest.encoder is not None and rest.label == method:
        rest = replace(rest, label=PREDICTOR)
    try:
        return ClassificationConfig(
            **parts,
            method=method,
            method_settings=settings,
            **{f.name: getattr(rest, f.name) for f in fields(rest)},
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
