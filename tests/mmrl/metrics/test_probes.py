import numpy as np
import pytest
import torch

from mmrl.metrics.probes import Probe, probe_targets, r2_score


def test_angles_become_cosine_and_sine() -> None:
    state = np.array([[np.pi / 2, 4.0], [np.pi, -1.0]])
    expected = [[0.0, 1.0, 4.0], [-1.0, 0.0, -1.0]]
    assert probe_targets(state, angles=[0]) == pytest.approx(np.array(expected), abs=1e-12)
    assert np.array_equal(probe_targets(state), state)


def test_r2_is_one_zero_or_worse() -> None:
    truth = np.array([[1.0], [2.0], [3.0]])
    assert r2_score(truth, truth) == pytest.approx([1.0])
    assert r2_score(np.full((3, 1), 2.0), truth) == pytest.approx([0.0])
    assert r2_score(truth[::-1], truth) == pytest.approx([-3.0])


def test_a_probe_reads_what_is_there_and_not_what_is_not() -> None:
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, (2000, 2))
    shown = np.stack([np.sin(3 * state[:, 0]), state[:, 0] ** 2, state[:, 0]], axis=1)
    latents = torch.from_numpy(shown).float()
    probe = Probe(latents[:1500], state[:1500], steps=600)
    there, hidden = probe.r2(latents[1500:], state[1500:])
    assert there > 0.99
    assert hidden < 0.2
    again = Probe(latents[:1500], state[:1500], steps=600)
    assert np.array_equal(again.predict(latents), probe.predict(latents))
