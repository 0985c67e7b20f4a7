"""Settings of classification: every file composes, and what does not fit is refused."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from mmrl.classification.check import check_classification
from mmrl.data.missingness import make_rules
from mmrl.methods import METHODS
from mmrl.runs.composed import CONFIGS
from mmrl.settings import ConfigError
from tests.mmrl.small_classification import config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.name=mnist"], r"data: unknown data set 'mnist'; known: avmnist, digits, file"),
        (["data.path=nowhere.npz"], r"data: .*nowhere\.npz"),
        (["data.path=null"], r"data: file is not shipped: give the path"),
        (["+data.options.colour=red"], r"data: file has no option colour; known: kinds, steps"),
        (["+data.nam=x"], r"unknown setting data\.nam; known in data: name, path, options"),
        (["method.name=smile"], r"method\.name is 'smile'; known: .*smil"),
        (["method.name=downstream"], r"method\.name is 'downstream'; known: .*dicmor, gmc"),
        (["method=none"], r"method is 'none', and classification wants one of concat"),
        (["+method.outputs=7"], r"method\.outputs is not set: it is what the data have"),
        (["missing.train=1.5"], r"missing\.train: a missing rate must be .* below 1, got 1\.5"),
        (["missing.test=[0.5,1.0]"], r"missing\.test: a missing rate must be .*, got 1\.0"),
        (["missing.train=[0.5,0.6]"], r"train must be null, a rate, a rule or a list of rules"),
        (["missing.valid=half"], r"valid must be null, a rate, 'train', a rule or .*, got 'half'"),
        (["missing.train={pattern: moon}"], r"missing\.train: a missing rule has 'moon'; known"),
        (
            ["missing.train={pattern: fixed, channels: [smell]}"],
            r"missing: a fixed rule names \['smell'\]; the modalities are \['image', 'sound'\]",
        ),
        (
            ["method=gmc", "missing.train={pattern: fixed, channels: [sound]}"],
            r"gmc learns from complete samples, of which there are 0 \(of 90 .* Lower that, or",
        ),
        (
            ["fit.batch_size=91"],
            r"concat learns from samples, .* 90 \(of 90 .*batch_size=91\. Lower",
        ),
        (
            ["method=smil"],
            r"method: pretrain_steps=500 leaves nothing of the 20 steps of training: tr",
        ),
        (
            ["method=smil", "fit.steps=null", "fit.epochs=3"],
            r"method: pretrain_steps=500 leaves nothing of the \d+ steps of training: ",
        ),
        (
            ["method=smil", "method.pretrain_steps=3", "method.clusters=80", "missing.train=0.5"],
            r"method: clusters=80 priors cannot be found in the 4\d samples that have",
        ),
        (["method=smil", "method.common_dim=0"], r"common_dim must be null or at least 1, got 0"),
        (["device=gpux"], r"device is 'gpux', which cannot be used here: .*\. Set auto, cpu"),
        (["sweep.rates=[0.5]"], r"sweep: rates=\[0\.5\] belong to a sweep, which has no runs"),
        (["+method.encoders.smell={}"], r"method: encoders names \['smell'\]"),
        (["+fit.augment.smell.noise=1"], r"fit: augment names \['smell'\]; the modalities are"),
        (["+pretrain.augment.sound.rotate=9"], r"pretrain: augment\.sound: rotate does not fit a"),
        (["+fit.augment.image.zoom=1"], r"fit\.augment\.image: zoom must lie in \[0, 1\), got 1"),
        (["+fit.augment.image.roll=1"], r"unknown setting fit\.augment\.image\.roll; known in fit"),
        (["classifier.hidden=[0]"], r"classifier: hidden must be positive widths, got \[0\]"),
        (["seed=-1"], r"seed must not be negative"),
        (["+env=pendulum"], r"unknown setting env; known: task"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    folder: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_classification(config(folder / "classes.npz", "method=concat", *overrides))


def test_what_needs_classes_refuses_labels(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"method: condition is 'flow', and several labels .* no"):
        check_classification(config(folder / "labels.npz", "method=dicmor", "fit.steps=600"))
    ablated = config(folder / "labels.npz", "method=dicmor_no_classes", "fit.steps=600")
    assert check_classification(ablated).task == "labels"


OPTIONS = sorted({path.stem for path in (CONFIGS / "method").glob("*.yaml")} | set(METHODS))
SETS = sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml"))


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in ("downstream", "none")])
def test_every_method_composes(option: str, folder: Path) -> None:
    made = config(folder / "classes.npz", f"method={option}", "fit.steps=2000")
    assert METHODS[made.method].Config is type(made.method_settings)


@pytest.mark.parametrize("option", SETS)
def test_every_data_set_composes(option: str) -> None:
    shipped = option in ("avmnist", "digits")
    made = config(None, f"data={option}", *([] if shipped else ["data.path=x"]))
    assert made.data.name == option
    assert made.missing.tests == (0.0, 0.5)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("train", overrides=["task=classification", f"data={option}"])
    for rate in composed.missing.test:
        assert make_rules(rate, composed.data.missing)


def test_the_shipped_default_is_ready() -> None:
    made = config(None)
    data = check_classification(made)
    assert (data.name, made.method, data.task) == ("avmnist", "gmc", "classes")
