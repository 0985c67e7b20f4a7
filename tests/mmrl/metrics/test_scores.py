from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrl.data import ArrayData
from mmrl.metrics.scores import scores, subset_scores
from mmrl.modality import Modality

MODALITIES = (Modality("good", (3,), "vector"), Modality("bad", (3,), "vector"))


def make() -> ArrayData:
    target = np.arange(30) % 3
    good = np.eye(3, dtype=np.float32)[target]
    return ArrayData({"good": good, "bad": np.roll(good, 1, axis=1)}, MODALITIES, target=target)


def add_up(values: Mapping[str, Tensor], available: Tensor) -> Tensor:
    total = torch.zeros(len(available), 3)
    for i, modality in enumerate(MODALITIES):
        total = total + available[:, i, None] * values[modality.name] * (2 - i)
    return total


def test_every_subset_is_scored_on_what_it_shows() -> None:
    found = {(s.subset, s.metric): s.value for s in subset_scores(add_up, make(), batch=7)}
    assert len(found) == 3 * 4
    assert found["good+bad", "accuracy"] == found["good", "accuracy"] == 1
    assert found["bad", "accuracy"] == 0


def test_what_a_sample_lacks_stays_missing() -> None:
    data = make()
    available = np.ones((30, 2), bool)
    available[:15, 0] = False
    data = ArrayData(data.values, MODALITIES, available, data.target)
    found = {s.subset: s.value for s in subset_scores(add_up, data) if s.metric == "accuracy"}
    assert found["good+bad"] == 0.5
    # Zeros everywhere are class 0.
    assert found["good"] == pytest.approx((15 + 5) / 30)


def test_subsets_can_be_chosen() -> None:
    found = subset_scores(add_up, make(), only=[("bad", "good")])
    assert {s.subset for s in found} == {"good+bad"}
    with pytest.raises(ValueError, match=r"unknown modalities \['smell'\]; the data have"):
        subset_scores(add_up, make(), only=[("smell",)])


def test_the_target_decides_which_scores() -> None:
    numbers = np.ones((4, 1), np.float32)
    assert set(scores(numbers, numbers)) == {"mae", "pearson"}
    assert "acc7" in scores(numbers, numbers, ("sentiment",))
    assert set(scores(numbers, np.ones((4, 1), bool))) == {
        "f1_weighted",
        "f1_macro",
        "f1_micro",
        "f1_samples",
        "mean_ap",
    }
    with pytest.raises(ValueError, match="no targets"):
        subset_scores(add_up, ArrayData(make().values, MODALITIES))
