"""Scores of several labels per sample, against loops over the definitions."""

import math

import numpy as np
import pytest

from mmrl.metrics.labels import label_scores


def made() -> tuple[np.ndarray, np.ndarray]:
    """Logits with ties, and labels: the last but one is never true, the last never predicted."""
    rng = np.random.default_rng(1)
    target = rng.random((80, 6)) < [0.5, 0.3, 0.1, 0.02, 0.0, 0.3]
    logits = np.round(rng.normal(size=(80, 6)) + 1.5 * target - 0.5, 1)
    logits[:, 5] = -np.abs(logits[:, 5]) - 0.1
    target[:4] = False
    logits[:2] = -1.0
    return logits, target


def naive_f1(prediction: np.ndarray, target: np.ndarray) -> float:
    tp = fp = fn = 0
    for p, t in zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True):
        tp, fp, fn = tp + (p and t), fp + (p and not t), fn + (t and not p)
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_f1_is_that_of_the_definition() -> None:
    logits, target = made()
    prediction = logits > 0
    each = [naive_f1(prediction[:, i], target[:, i]) for i in range(6)]
    expected = {
        "macro": sum(each) / 6,
        "weighted": np.average(each, weights=target.sum(axis=0)),
        "micro": naive_f1(prediction, target),
        "samples": np.mean([naive_f1(prediction[i], target[i]) for i in range(80)]),
    }
    for average, value in expected.items():
        assert label_scores(logits, target)[f"f1_{average}"] == pytest.approx(value), average


def naive_average_precision(logits: np.ndarray, true: np.ndarray) -> float:
    total = recall_before = 0.0
    for threshold in sorted(set(logits.tolist()), reverse=True):
        chosen = logits >= threshold
        hits = int((chosen & true).sum())
        recall = hits / int(true.sum())
        total += (recall - recall_before) * hits / int(chosen.sum())
        recall_before = recall
    return total


def test_average_precision_is_that_of_the_definition() -> None:
    logits, target = made()
    each = [naive_average_precision(logits[:, i], target[:, i]) for i in (0, 1, 2, 3, 5)]
    assert label_scores(logits, target)["mean_ap"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("logits", "target", "expected"),
    [
        ([3, 2, 1, 0], [1, 1, 0, 0], 1.0),
        ([3, 2, 1, 0], [0, 0, 1, 1], (1 / 3 + 2 / 4) / 2),
        ([1, 1, 1, 1], [1, 0, 0, 0], 1 / 4),  # all alike: the share of positives
        ([2, 2, 1, 0], [1, 0, 1, 0], (1 / 2 + 2 / 3) / 2),
    ],
)
def test_average_precision_in_closed_form(
    logits: list[float], target: list[int], expected: float
) -> None:
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        x, y = np.array(logits, float)[order, None], np.array(target)[order, None] > 0
        assert label_scores(x, y)["mean_ap"] == pytest.approx(expected)


def test_a_single_label_is_no_choice_of_two_classes() -> None:
    """Scikit-learn would also count how well its absence is predicted."""
    logits, target = (x[:, :1] for x in made())
    found, f1 = label_scores(logits, target), naive_f1(logits > 0, target)
    assert [found[f"f1_{a}"] for a in ("weighted", "macro", "micro")] == pytest.approx([f1] * 3)
    assert found["f1_samples"] == pytest.approx(np.mean((logits > 0) & target))


def test_positive_logits_are_predictions() -> None:
    target = np.array([[True, False], [True, True]])
    found = label_scores(np.array([[0.1, -0.1], [4.0, 2.0]]), target)
    assert found == dict.fromkeys(
        ["f1_weighted", "f1_macro", "f1_micro", "mean_ap", "f1_samples"], 1.0
    )
    assert label_scores(np.zeros((2, 2)), target)["f1_micro"] == 0.0


def test_bad_predictions_are_refused() -> None:
    yes = np.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"at least one: \(0, 3\) and \(0, 3\)"):
        label_scores(np.zeros((0, 3)), yes[:0])
    with pytest.raises(ValueError, match="1 predictions are NaN"):
        label_scores(np.array([[np.nan, 0.0, 1.0], [1.0, 0.0, 1.0]]), yes)
    assert math.isnan(label_scores(np.zeros((2, 3)), ~yes)["mean_ap"])
