"""Targets, losses, votes and the contrastive term of methods that predict."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrl.methods.fusion_baselines import ConcatFusion
from mmrl.methods.supervised import SupervisedConfig
from mmrl.modality import Batch, Modality

A, B = Modality("a", (2,), "vector"), Modality("b", (3,), "vector")


def method(**settings: object) -> ConcatFusion:
    torch.manual_seed(0)
    encoders = {"a": {"hidden": [4]}, "b": {"hidden": [4]}}
    config = SupervisedConfig(latent_dim=5, encoders=encoders, **settings)  # type: ignore[arg-type]
    return ConcatFusion([A, B], config)


def batch(target: Tensor | None, available: list[list[int]]) -> Batch:
    torch.manual_seed(1)
    mask = torch.tensor(available, dtype=torch.bool)
    values = {"a": torch.randn(len(mask), 2), "b": torch.randn(len(mask), 3)}
    return Batch(values, mask, target)


def test_classification_is_cross_entropy_over_samples_with_something() -> None:
    model = method(outputs=3)
    data = batch(torch.tensor([2, 0, 1]), [[1, 1], [0, 1], [0, 0]])
    logits = model.predict(data.values, data.available).detach().double().numpy()
    expected = 0.0
    for row, y in zip(logits[:2], [2, 0], strict=True):
        expected -= row[y] - np.log(np.exp(row).sum())
    assert model.losses(data)["loss"].item() == pytest.approx(expected / 2, rel=1e-5)


def test_regression_is_the_mean_absolute_error() -> None:
    model = method(outputs=1, task="regression")
    y = torch.tensor([0.5, -2.0])
    data = batch(y, [[1, 1], [1, 0]])
    prediction = model.predict(data.values, data.available)[:, 0]
    assert model.losses(data)["task"].item() == pytest.approx((prediction - y).abs().mean().item())


@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.int64])
def test_labels_are_one_binary_choice_each(kind: torch.dtype) -> None:
    model = method(outputs=3, task="labels")
    y = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1]]).to(kind)
    data = batch(y, [[1, 1], [0, 1], [0, 0]])
    logits = model.predict(data.values, data.available).detach().double().numpy()
    probability = 1 / (1 + np.exp(-logits[:2]))
    true = y[:2].bool().numpy()
    expected = -np.log(np.where(true, probability, 1 - probability)).mean()
    assert model.losses(data)["loss"].item() == pytest.approx(expected, rel=1e-5)
    # Nothing is known of the last sample, and none of its labels is predicted.
    assert not (logits[2] > 0).any()


@pytest.mark.parametrize("task", ["classification", "labels", "regression"])
def test_votes_are_averaged_as_probabilities(task: str) -> None:
    votes = 3 * torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(2)).double()
    counts = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()
    model = method(outputs=5, task=task)

    def squash(x: np.ndarray) -> np.ndarray:
        if task == "classification":
            return np.asarray(np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))
        return x if task == "regression" else np.asarray(1 / (1 + np.exp(-x)))

    found = model.average(votes, counts).numpy()
    for row in range(3):
        expected = squash(votes[row][counts[row]].numpy()).mean(axis=0)
        np.testing.assert_allclose(squash(found[row]), expected, rtol=1e-10)
    assert np.isfinite(found[3]).all()


def test_certain_votes_stay_finite() -> None:
    votes = torch.tensor([[[200.0, -200.0], [200.0, 200.0]]])
    logits = method(outputs=2, task="labels").average(votes, torch.ones(1, 2).bool())
    torch.testing.assert_close(logits, torch.tensor([[200.0, 0.0]]))


def naive_nt_xent(joint: np.ndarray, positive: np.ndarray, temperature: float) -> float:
    u = np.concatenate([joint, positive])
    n, total = len(joint), 0.0
    for i in range(2 * n):
        others = [np.exp(u[i] @ u[j] / temperature) for j in range(2 * n) if j != i]
        total -= u[i] @ u[(i + n) % (2 * n)] / temperature - np.log(sum(others))
    return total / (2 * n)


def test_contrastive_term_compares_whole_samples_with_single_modalities() -> None:
    model = method(outputs=3, contrastive_weight=0.5, contrastive_temperature=0.2).double()
    data = batch(torch.tensor([0, 1, 2, 0]), [[1, 1], [1, 1], [1, 1], [0, 1]])
    data.values = {name: x.double() for name, x in data.values.items()}
    three = {name: x[:3] for name, x in data.values.items()}

    def unit(z: Tensor) -> np.ndarray:
        array: np.ndarray = (z / z.norm(dim=1, keepdim=True)).detach().numpy()
        return array

    whole = unit(model.encode(three))
    expected = 0.5 * sum(
        naive_nt_xent(whole, unit(model.encode({name: three[name]})), 0.2) for name in ("a", "b")
    )
    terms = model.losses(data)
    assert terms["contrastive"].item() == pytest.approx(expected, rel=1e-6)
    assert terms["loss"].item() == pytest.approx((terms["task"] + terms["contrastive"]).item())


def test_without_complete_samples_the_contrastive_term_is_zero() -> None:
    model = method(outputs=3, contrastive_weight=1.0)
    terms = model.losses(batch(torch.tensor([0, 1]), [[1, 0], [0, 1]]))
    assert terms["contrastive"].item() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "ranking"}, "task is 'ranking'; known: classification, labels, regression"),
        ({"outputs": 1}, "classification needs at least 2 outputs"),
        ({"outputs": 0, "task": "labels"}, "labels needs at least 1 outputs"),
        ({"contrastive_weight": -1.0}, "contrastive_weight must not be negative"),
        ({"contrastive_temperature": 0.0}, "contrastive_temperature must be positive"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupervisedConfig(**settings)  # type: ignore[arg-type]


def test_encoders_of_unknown_modalities_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"encoders names \['c'\]; the modalities are \['a', 'b'\]"
    ):
        ConcatFusion([A, B], SupervisedConfig(encoders={"c": {}}))


@pytest.mark.parametrize(
    ("settings", "target", "message"),
    [
        ({}, None, "learns from targets, and this batch has none"),
        ({}, torch.tensor([0.0, 1.0]), "set task=regression, for several labels .* task=labels"),
        ({}, torch.eye(2).long(), "for several labels a sample task=labels"),
        (
            {"task": "labels", "outputs": 3},
            torch.eye(2),
            r"labels must be of shape \(batch, 3\), got \(2, 2\)",
        ),
        (
            {"task": "labels", "outputs": 2},
            torch.tensor([0, 1]),
            r"labels must be of shape \(batch, 2\), got \(2,\)",
        ),
        ({"task": "labels", "outputs": 2}, torch.eye(2) / 2, "labels must be 0 or 1"),
        ({"outputs": 3}, torch.tensor([0, 3]), r"classes must lie in 0\.\.2, got 0\.\.3"),
        ({"outputs": 3}, torch.tensor([-1, 2]), r"classes must lie in 0\.\.2, got -1\.\.2"),
        ({"task": "regression", "outputs": 2}, torch.tensor([0.0, 1.0]), "expected 2 targets"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    settings: dict[str, object], target: Tensor | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings).losses(batch(target, [[1, 1], [1, 1]]))
