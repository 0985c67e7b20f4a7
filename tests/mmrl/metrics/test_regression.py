import math

import numpy as np
import pytest

from mmrl.metrics.regression import regression_scores, sentiment_scores


def mean_absolute_error(prediction: np.ndarray, target: np.ndarray) -> float:
    return regression_scores(prediction[:, None], target[:, None])["mae"]


def pearson(prediction: np.ndarray, target: np.ndarray) -> float:
    return regression_scores(prediction[:, None], target[:, None])["pearson"]


def accuracy_7(prediction: np.ndarray, target: np.ndarray) -> float:
    return sentiment_scores(prediction, target)["acc7"]


def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = np.round(rng.uniform(-3, 3, 200) * 5) / 5
    target[:20] = 0
    prediction = target + rng.normal(size=200)
    prediction[10:15] = 0
    prediction[30:33] = 0
    return prediction, target


def test_error_and_correlation_are_those_of_the_definition() -> None:
    prediction, target = case()
    pairs = list(zip(prediction.tolist(), target.tolist(), strict=True))
    assert mean_absolute_error(prediction, target) == pytest.approx(
        sum(abs(p - t) for p, t in pairs) / len(pairs)
    )
    mp, mt = (sum(x) / len(pairs) for x in zip(*pairs, strict=True))
    covariance = sum((p - mp) * (t - mt) for p, t in pairs)
    norm = math.sqrt(sum((p - mp) ** 2 for p, _ in pairs) * sum((t - mt) ** 2 for _, t in pairs))
    assert pearson(prediction, target) == pytest.approx(covariance / norm)
    assert pearson(-2 * target + 1, target) == pytest.approx(-1)
    assert pearson(np.ones(200), target) == 0


def test_single_precision_is_summed_in_double() -> None:
    target = np.arange(100_000, dtype=np.float32)
    assert mean_absolute_error(target + 1, target) == pytest.approx(1)
    assert pearson(target * 1e3, target) == pytest.approx(1)


@pytest.mark.parametrize("convention", ["nonzero", "has_zero"])
def test_signs_are_those_of_the_convention(convention: str) -> None:
    prediction, target = case()
    pairs = []
    for p, t in zip(prediction.tolist(), target.tolist(), strict=True):
        if convention == "has_zero":
            pairs.append((p >= 0, t >= 0))
        elif t != 0:
            pairs.append((p > 0, t > 0))
    assert sentiment_scores(prediction, target)[f"acc2_{convention}"] == pytest.approx(
        sum(p == t for p, t in pairs) / len(pairs)
    )
    total = 0.0
    for sign in (False, True):
        hit = sum(p == t == sign for p, t in pairs)
        size = sum(t == sign for _, t in pairs)
        total += size * 2 * hit / (sum(p == sign for p, _ in pairs) + size)
    assert sentiment_scores(prediction, target)[f"f1_{convention}"] == pytest.approx(
        total / len(pairs)
    )


def test_zero_is_negative_or_positive_by_convention() -> None:
    prediction, target = np.array([0.0, 0.0, 1.0]), np.array([-1.0, 2.0, 0.0])
    assert sentiment_scores(prediction, target)["acc2_nonzero"] == 0.5
    assert sentiment_scores(prediction, target)["acc2_has_zero"] == pytest.approx(2 / 3)
    assert math.isnan(sentiment_scores(np.ones(2), np.zeros(2))["acc2_nonzero"])
    assert math.isnan(sentiment_scores(np.ones(2), np.zeros(2))["f1_nonzero"])


def test_seven_classes_clip_and_round_halves_to_even() -> None:
    values = np.array([0.5, 1.5, -2.5, 2.5, 7.0, -9.0, -0.5])
    classes = np.array([0.0, 2.0, -2.0, 2.0, 3.0, -3.0, 0.0])
    assert accuracy_7(values, classes) == 1
    assert accuracy_7(classes, values) == 1
    assert accuracy_7(values, classes + np.array([1.0, 0, 0, 0, 0, 0, 0])) == pytest.approx(6 / 7)


def test_all_scores_have_names() -> None:
    prediction, target = (x[:, None] for x in case())
    plain = regression_scores(prediction, target)
    assert set(plain) == {"mae", "pearson"}
    full = regression_scores(prediction, target, sentiment=True)
    assert set(full) - set(plain) == {
        "acc2_nonzero",
        "f1_nonzero",
        "acc2_has_zero",
        "f1_has_zero",
        "acc7",
    }
    two = regression_scores(np.hstack([prediction, target]), np.hstack([target, target]))
    assert two["mae"] == pytest.approx(plain["mae"] / 2)


def test_bad_predictions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        pearson(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="1 predictions or targets are NaN or infinite"):
        mean_absolute_error(np.array([np.nan, 1.0]), np.zeros(2))
