"""Figures of alignment: closed forms and invariances."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from mmrl.metrics.geometry import linear_cka, mean_cosine, modality_gap, retrieval_accuracy

POINTS = np.random.default_rng(0).normal(size=(200, 5))
TURN = ortho_group.rvs(5, random_state=1)
NOISE = np.random.default_rng(1).normal(size=(200, 5))


def test_a_representation_is_aligned_with_itself() -> None:
    assert mean_cosine(POINTS, 3 * POINTS) == pytest.approx(1.0)
    assert retrieval_accuracy(POINTS, 3 * POINTS) == 1.0
    assert linear_cka(POINTS, POINTS) == pytest.approx(1.0)
    assert modality_gap(POINTS, 3 * POINTS) == pytest.approx(0.0, abs=1e-12)


def test_cka_sees_no_turn_shift_and_scale() -> None:
    assert linear_cka(POINTS, 7 * POINTS @ TURN + 2) == pytest.approx(1.0)
    assert linear_cka(POINTS, np.ones((200, 3))) == 0.0


def test_cka_is_that_of_the_gram_matrices() -> None:
    other = POINTS[:, :2] + NOISE[:, :2]
    centre = np.eye(200) - 1 / 200
    grams = [centre @ (x @ x.T) @ centre for x in (POINTS, other)]
    expected = np.sum(grams[0] * grams[1]) / np.prod([np.linalg.norm(g) for g in grams])
    assert linear_cka(POINTS, other) == pytest.approx(expected)


def test_unrelated_representations_are_not_aligned() -> None:
    assert abs(mean_cosine(POINTS, NOISE)) < 0.1
    assert retrieval_accuracy(POINTS, NOISE) < 0.05
    assert linear_cka(POINTS, NOISE) < 0.2


def test_the_gap_is_between_clouds_and_not_between_pairs() -> None:
    shuffled = POINTS[np.random.default_rng(2).permutation(200)]
    assert modality_gap(POINTS, shuffled) == pytest.approx(0.0, abs=1e-12)
    assert modality_gap(POINTS * 0.01 + 1, POINTS * 0.01 - 1) == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("block", [1, 7, 200, 1000])
def test_retrieval_is_the_same_in_blocks(block: int) -> None:
    other = POINTS + NOISE
    cosines = (POINTS / np.linalg.norm(POINTS, axis=1)[:, None]) @ (
        other / np.linalg.norm(other, axis=1)[:, None]
    ).T
    expected = np.mean(cosines.argmax(axis=1) == np.arange(200))
    assert retrieval_accuracy(POINTS, other, block=block) == expected


def test_the_origin_has_no_direction() -> None:
    zeros = np.zeros((3, 5))
    assert mean_cosine(zeros, POINTS[:3]) == 0.0
    assert np.isfinite([linear_cka(zeros, POINTS[:3]), modality_gap(zeros, POINTS[:3])]).all()
