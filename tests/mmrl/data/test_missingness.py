from typing import Any

import numpy as np
import pytest

from mmrl.data import ArrayData, Sequences
from mmrl.data.arrays import Column
from mmrl.data.missingness import Rule, draw, fixed_missing, make_rules
from mmrl.modality import Modality
from mmrl.subsets import subsets
from mmrl_envs.faults import make_faults

N = 2000
NAMES = ("image", "sound", "gait")
MODALITIES = (
    Modality("image", (1, 8, 8), "image"),
    Modality("sound", (3,), "vector"),
    Modality("gait", (4, 2), "sequence"),
)


def make(channels: int = 3, samples: int = N) -> ArrayData:
    rng = np.random.default_rng(7)
    lengths = rng.integers(1, 5, samples)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values: dict[str, Column] = {
        "image": rng.integers(0, 256, (samples, 1, 8, 8), dtype=np.uint8),
        "sound": rng.normal(size=(samples, 3)).astype(np.float32),
        "gait": Sequences(rng.normal(size=(offsets[-1], 2)), offsets, 4),
    }
    modalities = MODALITIES[:channels]
    target = np.arange(samples) % 10
    return ArrayData({m.name: values[m.name] for m in modalities}, modalities, target=target)


def drawn(spec: Any, data: ArrayData, seed: int = 0) -> np.ndarray:
    return draw(make_rules(spec), data, np.random.default_rng(seed))


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"definition": "overall"},
        {"depends_on": "class"},
        {"depends_on": "input", "by": "sound", "strength": 4.0},
        {"pattern": "cpm"},
    ],
)
def test_any_rate_leaves_one_and_is_realised(
    channels: int, rate: float, rest: dict[str, Any]
) -> None:
    data = make(channels)
    stay = drawn({"rate": rate, **rest}, data)
    assert stay.any(axis=1).all()
    assert abs(1 - stay.mean() - min(rate, 1 - 1 / channels)) < 0.03
    if rate == 0:
        assert stay.all()


def test_both_definitions_of_the_rate() -> None:
    data = make(2)
    per_modality = drawn({"rate": 0.4, "channels": ["sound"]}, data)
    overall = drawn({"rate": 0.4, "channels": ["sound"], "definition": "overall"}, data)
    np.testing.assert_allclose(1 - per_modality.mean(axis=0), [0, 0.4], atol=0.03)
    np.testing.assert_allclose(1 - overall.mean(axis=0), [0, 0.8], atol=0.03)
    assert 1 - overall.mean() == pytest.approx(0.4, abs=0.02)


def test_rates_by_channel() -> None:
    stay = drawn({"rate": {"image": 0.2, "gait": 0.8}}, make())
    np.testing.assert_allclose(1 - stay.mean(axis=0), [0.2, 0, 0.8], atol=0.03)


def test_a_fixed_rule_is_the_same_for_every_sample() -> None:
    stay = drawn({"pattern": "fixed", "channels": ["image", "gait"]}, make())
    assert (stay == [False, True, False]).all()


def test_the_fixed_missing_protocol_is_all_subsets() -> None:
    assert len(subsets(NAMES)) == 7
    rules = fixed_missing(NAMES)
    assert next(iter(rules)) == "image+sound+gait"
    for name, rule in rules.items():
        stay = draw(rule, make(), np.random.default_rng(0))
        assert (stay == np.isin(NAMES, name.split("+"))).all()


def test_smil_keeps_exact_shares_of_each_class() -> None:
    data = make(2)
    stay = drawn({"pattern": "smil", "rate": 0.8}, data)
    assert stay[:, 0].all()
    assert data.target is not None
    assert np.bincount(data.target[stay[:, 1]]).tolist() == [40] * 10


def test_missing_can_depend_on_the_class() -> None:
    data = make()
    assert data.target is not None
    stay = drawn({"rate": 0.4, "channels": ["sound"], "depends_on": "class"}, data)
    share = [1 - stay[data.target == c, 1].mean() for c in range(10)]
    assert share[9] - share[0] > 0.6
    assert np.corrcoef(share, np.arange(10))[0, 1] > 0.95


def test_labels_have_a_number_and_no_strata() -> None:
    data = make(2)
    counts = np.arange(N) % 4
    data.target = counts[:, None] > np.arange(3)
    gone = ~drawn({"rate": 0.4, "channels": ["sound"], "depends_on": "class"}, data)[:, 1]
    shares = [gone[counts == number].mean() for number in range(4)]
    assert sorted(shares) == shares
    assert shares[3] - shares[0] > 0.3
    assert gone.mean() == pytest.approx(0.4, abs=0.03)
    rows = ~drawn({"pattern": "smil", "rate": 0.9}, data)[:, 1]
    assert rows.sum() == 0.9 * N


def test_missing_can_depend_on_an_input() -> None:
    data = make()
    for name, expected in (("image", True), ("gait", True), (None, True)):
        rule = {"rate": 0.4, "channels": ["sound"], "depends_on": "input", "by": name}
        gone = ~drawn(rule, data)[:, 1]
        column = data.values[name or "image"][:].astype(float)
        if name == "gait":
            lengths = data.values["gait"].lengths  # type: ignore[union-attr]
            mean = column.sum(axis=(1, 2)) / lengths
        else:
            mean = column.reshape(N, -1).mean(axis=1)
        assert (mean[gone].mean() > mean[~gone].mean() + 0.5 * mean.std()) == expected
    none = ~drawn(
        {"rate": 0.4, "channels": ["sound"], "depends_on": "input", "strength": 0.0}, data
    )[:, 1]
    image = data.values["image"][:].reshape(N, -1).mean(axis=1)
    assert abs(image[none].mean() - image[~none].mean()) < 0.2 * image.std()


def test_several_rules_add_up_and_one_still_stays() -> None:
    stay = drawn([{"pattern": "fixed", "channels": ["image"]}, {"rate": 0.6}], make(2))
    assert (stay == [False, True]).all()


def test_what_the_data_lack_stays_missing() -> None:
    data = make(2)
    sound = np.array(data.values["sound"][:])
    sound[: N // 2] = np.nan
    values = {**data.values, "sound": sound}
    data = ArrayData(values, data.modalities, target=data.target)
    stay = drawn({"pattern": "fixed", "channels": ["image"]}, data)
    # Nothing but the image is there in the first half: it stays.
    assert (stay[: N // 2] == [True, False]).all()
    assert (stay[N // 2 :] == [False, True]).all()


def test_a_seed_decides() -> None:
    data = make()
    for spec in (0.5, {"pattern": "cpm", "rate": 0.4}, {"pattern": "dicmor", "rate": 0.4}):
        np.testing.assert_array_equal(drawn(spec, data, 3), drawn(spec, data, 3))
        assert (drawn(spec, data, 3) != drawn(spec, data, 4)).any()


def test_plain_data_and_rules_are_the_same() -> None:
    specs: list[dict[str, Any]] = [
        {"pattern": "bernoulli", "rate": 0.3, "channels": ["image"]},
        {"pattern": "bernoulli", "rate": {"image": 0.3}},
        {"pattern": "bernoulli", "rate": 0.0, "definition": "overall"},
        {"pattern": "fixed", "channels": ["sound"]},
        {"pattern": "bernoulli", "rate": 0.1, "depends_on": "input", "by": "image"},
        {"pattern": "dicmor", "rate": 0.7},
    ]
    assert [rule.describe() for rule in make_rules(specs)] == specs
    assert make_rules(None) == ()
    with pytest.raises(TypeError, match="a list of names, got 'image'"):
        make_rules({"rate": 0.1, "channels": "image"})
    assert make_rules({"rate": 0.2, "mechanism": "blackout"}) == (Rule(rate=0.2),)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"pattern": "burst", "rate": 0.1}, "'burst'; known: fixed, bernoulli, smil"),
        ({"rate": 0.1, "chanels": ["a"]}, r"no key \['chanels'\]; known: pattern, rate"),
        (1.0, "at least 0 and below 1, got"),
        ({"rate": {"image": -0.1}}, "'image': -0.1"),
        ({"pattern": "bernoulli"}, r"needs a rate in \[0, 1\)"),
        ({"pattern": "fixed", "rate": 0.5, "channels": ["image"]}, "channels and no rate"),
        ({"pattern": "fixed"}, "channels and no rate"),
        ({"rate": 0.1, "mechanism": "freeze"}, "'freeze' is one of sensors"),
        ({"rate": 0.1, "announced": False}, "always known what is missing"),
        ({"pattern": "dicmor", "rate": 0.25}, "dicmor has the rates 0.0, 0.1"),
        ({"pattern": "cpm", "rate": 0.2, "channels": ["image"]}, "takes no channels"),
        ({"pattern": "cpm", "rate": 0.2, "depends_on": "class"}, "are for bernoulli rules"),
        ({"rate": 0.2, "by": "image"}, "depends_on: input, which is not set"),
        ({"rate": 0.2, "definition": "total"}, "'total'; known: per_modality, overall"),
        ({"pattern": "smil", "rate": {"image": 0.1}}, "rates by channel are for bernoulli"),
    ],
)
def test_bad_rules_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_rules(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"rate": 0.1, "channels": ["smell"]}, r"\['smell'\]; the modalities are \['image'"),
        ({"pattern": "fixed", "channels": list(NAMES)}, "leaves none"),
        (
            {"rate": 0.5, "channels": ["image"], "definition": "overall"},
            "at most 0.333 of all 3 modalities",
        ),
    ],
)
def test_rules_that_do_not_fit_the_data_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(spec, make())


def test_specifications_of_sensor_faults_are_rules() -> None:
    """What both sides can do is written in the same words."""
    for spec in (
        {"pattern": "fixed", "channels": ["image"]},
        {"pattern": "bernoulli", "rate": 0.3, "channels": ["sound"]},
    ):
        (fault,) = make_faults([spec])
        assert make_rules(fault.to_spec()) == make_rules(spec)
