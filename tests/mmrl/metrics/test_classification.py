import numpy as np
import pytest

from mmrl.metrics.classification import class_scores, classification_scores


def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 6, 300)
    noisy = np.where(rng.random(300) < 0.6, target, rng.integers(0, 6, 300))
    return [
        (noisy, target),
        (np.where(noisy == 3, 4, noisy), target),  # never predicts a class
        (noisy, np.where(target == 2, 1, target)),  # predicts a class that does not occur
        (np.zeros(300, int), target),
        (np.array([2]), np.array([5])),
    ]


def naive_f1(prediction: np.ndarray, target: np.ndarray, average: str) -> float:
    total = weight = 0.0
    for c in sorted(set(prediction.tolist()) | set(target.tolist())):
        tp = sum(1 for p, t in zip(prediction, target, strict=True) if p == c and t == c)
        fp = sum(1 for p, t in zip(prediction, target, strict=True) if p == c and t != c)
        fn = sum(1 for p, t in zip(prediction, target, strict=True) if p != c and t == c)
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / (tp + fn) if tp + fn else 0.0
        score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        share = tp + fn if average == "weighted" else 1
        total, weight = total + share * score, weight + share
    return total / weight


@pytest.mark.parametrize(("prediction", "target"), cases())
def test_scores_are_those_of_the_definition(prediction: np.ndarray, target: np.ndarray) -> None:
    pairs = list(zip(prediction.tolist(), target.tolist(), strict=True))
    found = class_scores(prediction, target)
    assert found["accuracy"] == pytest.approx(sum(p == t for p, t in pairs) / len(pairs))
    recalls = []
    for c in sorted(set(target.tolist())):
        of_class = [p == t for p, t in pairs if t == c]
        recalls.append(sum(of_class) / len(of_class))
    assert found["balanced_accuracy"] == pytest.approx(sum(recalls) / len(recalls))
    for average in ("weighted", "macro"):
        assert found[f"f1_{average}"] == pytest.approx(naive_f1(prediction, target, average))


def test_logits_become_predictions() -> None:
    logits = np.array([[0.0, 3.0, 1.0], [9.0, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    target = np.array([1, 0, 2, 2])
    found = classification_scores(logits, target)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert set(found) == {"accuracy", "balanced_accuracy", "f1_weighted", "f1_macro"}


def test_bad_predictions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one: \(0,\) and \(0,\)"):
        class_scores(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(ValueError, match="1 predictions are NaN"):
        classification_scores(np.array([[np.nan, 0.0], [1.0, 0.0]]), np.zeros(2, int))
