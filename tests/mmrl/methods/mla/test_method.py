"""MLA's fusion, alternation and projection, against the formulas."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmrl.methods.method import Optimization
from mmrl.methods.mla.method import MLA, MLAConfig, entropies, fusion_weights
from mmrl.methods.mla.projection import GradientProjection, deflate
from mmrl.modality import Modality
from mmrl.testing import made_data, optimization

A, B = Modality("a", (3,), "vector"), Modality("b", (2,), "vector")


def mla(**settings: object) -> MLA:
    torch.manual_seed(0)
    options = {
        "latent_dim": 6,
        "outputs": 3,
        "encoders": {"a": {"hidden": [4]}, "b": {"hidden": [4]}},
    }
    return MLA([A, B], MLAConfig(**{**options, **settings}))  # type: ignore[arg-type]


def naive_projection(directions: np.ndarray, alpha: float) -> np.ndarray:
    """Closed form of the recursion: alpha (alpha I + sum of h h^T)^-1."""
    result: np.ndarray = alpha * np.linalg.inv(
        alpha * np.eye(directions.shape[1]) + directions.T @ directions
    )
    return result


def test_one_direction_is_shrunk_as_the_formula_says() -> None:
    h = torch.randn(5).double()
    P = deflate(torch.eye(5).double(), h, alpha=0.1)
    torch.testing.assert_close(P @ h, 0.1 / (0.1 + h @ h) * h)


def test_projection_is_recursive_least_squares() -> None:
    torch.manual_seed(0)
    directions = torch.randn(4, 6).double()
    P = torch.eye(6).double()
    for h in directions:
        deflate(P, h, alpha=0.3)
    np.testing.assert_allclose(P.numpy(), naive_projection(directions.numpy(), 0.3), rtol=1e-9)
    torch.testing.assert_close(P, P.T)
    eigenvalues = torch.linalg.eigvalsh(P)
    assert float(eigenvalues.min()) > 0
    assert float(eigenvalues.max()) <= 1 + 1e-9
    assert float((P @ directions[0]).norm() / directions[0].norm()) < 0.2


def test_first_step_is_free_and_the_second_avoids_its_mean() -> None:
    projection = GradientProjection(6, alpha=1e-6).double()
    gradient, features = torch.randn(3, 6).double(), torch.randn(8, 6).double()
    mean = features.mean(dim=0)
    torch.testing.assert_close(projection.project(gradient, mean), gradient)
    avoided = projection.project(gradient, torch.randn(6).double())
    assert float((avoided @ mean).abs().max()) < 1e-4 * float((gradient @ mean).abs().max())
    projection.restart()
    torch.testing.assert_close(projection.P, torch.eye(6).double())


def test_a_certain_modality_counts_more_and_missing_ones_nothing() -> None:
    logits = torch.randn(4, 3, 5).double()
    mask = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()
    weights = fusion_weights(entropies(logits), mask).numpy()
    for n in range(4):
        p = np.exp(logits[n].numpy())
        p /= p.sum(axis=1, keepdims=True)
        entropy = -(p * np.log(p)).sum(axis=1)
        unscaled = np.exp(entropy.max() - entropy) * mask[n].numpy()
        expected = unscaled / max(unscaled.sum(), 1e-300)
        np.testing.assert_allclose(weights[n], expected, rtol=1e-10)


def test_alike_predictions_count_alike() -> None:
    same = torch.randn(2, 1, 4).expand(2, 3, 4)
    weights = fusion_weights(entropies(same), torch.ones(2, 3).bool())
    torch.testing.assert_close(weights, torch.full((2, 3), 1 / 3))


def test_prediction_is_the_weighted_sum_of_logits() -> None:
    model = mla()
    values = {"a": torch.randn(5, 3), "b": torch.randn(5, 2)}
    logits = [model.predict({name: values[name]}) for name in ("a", "b")]
    weights = fusion_weights(entropies(torch.stack(logits, dim=1)), torch.ones(5, 2).bool())
    expected = weights[:, :1] * logits[0] + weights[:, 1:] * logits[1]
    torch.testing.assert_close(model.predict(values), expected)
    alike = mla(fusion="mean")
    torch.testing.assert_close(alike.predict(values), (logits[0] + logits[1]) / 2)


def test_the_entropy_of_labels_is_the_mean_over_them() -> None:
    model = mla(task="labels", outputs=3).double()
    values = {"a": torch.randn(5, 3).double(), "b": torch.randn(5, 2).double()}
    logits = [model.predict({name: values[name]}).detach().numpy() for name in ("a", "b")]
    p = 1 / (1 + np.exp(-np.stack(logits, axis=1)))
    unscaled = np.exp((p * np.log(p) + (1 - p) * np.log(1 - p)).mean(axis=2))
    weights = unscaled / unscaled.sum(axis=1, keepdims=True)
    expected = weights[:, :1] * logits[0] + weights[:, 1:] * logits[1]
    np.testing.assert_allclose(model.predict(values).detach().numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("project", [False, True])
def test_update_is_alternating_descent(project: bool) -> None:
    """Two updates against a naive loop in double precision with plain gradient steps."""
    alpha, lr = 0.2, 0.5
    model = mla(project=project, alpha=alpha).double()
    data = made_data([A, B], samples=10, missing=0.4)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    P, last = np.eye(6), np.zeros(6)
    for _ in range(2):
        P = np.eye(6)
        for i, name in enumerate(("a", "b")):
            rows = np.flatnonzero(data.available[:, i])
            x = torch.from_numpy(data.values[name][:][rows]).double()
            y = torch.from_numpy(data.target[rows]) if data.target is not None else None
            assert y is not None
            own = {n: w.requires_grad_() for n, w in weights.items() if f"s.{name}." in n}
            head = {n: w.requires_grad_() for n, w in weights.items() if n.startswith("head")}
            hidden = F.silu(F.linear(x, *list(own.values())[:2]))
            h = F.linear(hidden, *list(own.values())[2:])
            loss = F.cross_entropy(F.linear(h, head["head.weight"], head["head.bias"]), y)
            gradients = torch.autograd.grad(loss, [*own.values(), *head.values()])
            P -= np.outer(P @ last, last @ P) / (alpha + last @ P @ last)
            last = h.mean(dim=0).detach().numpy()
            for n, g in zip([*own, *head], gradients, strict=True):
                if n == "head.weight" and project:
                    g = g @ torch.from_numpy(P)
                weights[n] = (weights[n] - lr * g).detach()
    with optimization(model, data) as lent:
        sgd = torch.optim.SGD(model.parameters(), lr=lr)
        lent.optimizer = sgd
        batch = data.batch(np.arange(10))
        batch.values = {n: x.double() for n, x in batch.values.items()}
        for _ in range(2):
            terms = model.update(batch)
    assert terms["loss"] == pytest.approx(terms["task_a"] + terms["task_b"])
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), weights[name])


def share_along_the_previous_mean(optimizer: str, project: bool) -> float:
    """How much of the head's steps lies along the mean feature of the modality before, on average.

    A step is a matrix of outputs x width: the norm of its product with the unit vector of that
    mean, divided by the norm of the step.
    """
    sensors = [Modality("a", (12,), "vector"), Modality("b", (8,), "vector")]
    torch.manual_seed(0)
    model = MLA(sensors, MLAConfig(latent_dim=32, outputs=5, project=project))
    data = made_data(sensors, outputs=5, samples=200)
    model.fit_inputs(data)
    shares: list[float] = []
    train_one, weight = model._modality_step, model.head.get_parameter("weight")

    def watched(optimization: Optimization, name: str, x: torch.Tensor, y: torch.Tensor) -> float:
        before = weight.detach().clone()
        with torch.no_grad():
            mean = model.encoders[name](x).mean(dim=0)
        loss = train_one(optimization, name, x, y)
        step = weight.detach() - before
        if means:
            shares.append(float((step @ means[-1]).norm() / (step.norm() * means[-1].norm())))
        means.append(mean)
        return loss

    means: list[torch.Tensor] = []
    model._modality_step = watched  # type: ignore[method-assign]
    with optimization(model, data) as lent:
        if optimizer == "sgd":
            lent.optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        for step in range(60):
            model.update(data.batch(np.arange(step * 50, step * 50 + 50) % 200))
    return float(np.mean(shares))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_of_the_head_keep_clear_of_the_previous_modality(optimizer: str) -> None:
    """Whatever the optimiser: of Adam, projected gradients alone would leave most of it."""
    with_it, without = (share_along_the_previous_mean(optimizer, on) for on in (True, False))
    assert with_it < 0.1
    assert with_it < without / 3


def test_a_step_for_one_modality_leaves_the_other_encoder_alone() -> None:
    model, data = mla(), made_data([A, B], samples=8)
    data.available[:, 1] = False
    before = {name: p.detach().clone() for name, p in model.encoders["b"].named_parameters()}
    with optimization(model, data):
        terms = model.update(data.batch(np.arange(8)))
    assert terms["task_b"] == 0
    for name, p in model.encoders["b"].named_parameters():
        assert torch.equal(p, before[name])


def test_zero_input_trains_and_fuses_what_is_missing() -> None:
    model = mla(absent="zero_input")
    a = torch.randn(4, 3)
    complete = model.predict({"a": a, "b": torch.zeros(4, 2)})
    torch.testing.assert_close(model.predict({"a": a}), complete)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.0}, "alpha must be positive"),
        ({"restart_every": 0}, "restart_every at least 1, got 0.1 and 0"),
        ({"fusion": "max"}, "fusion is 'max'; known: entropy, mean"),
        ({"absent": "drop"}, "absent is 'drop'; known: skip, zero_input"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLAConfig(**settings)  # type: ignore[arg-type]


def test_projection_wants_a_positive_alpha() -> None:
    with pytest.raises(ValueError, match="alpha must be positive, got 0"):
        GradientProjection(3, alpha=0.0)
