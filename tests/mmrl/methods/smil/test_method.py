"""SMIL's guesses, perturbations and meta-gradients, against naive versions of the paper's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from mmrl.methods.smil.config import SMILConfig
from mmrl.methods.smil.method import SMIL, _hide_one_or_more
from mmrl.methods.smil.priors import find_priors
from mmrl.modality import Modality
from mmrl.testing import made_data, optimization
from mmrl.training.augment import Augmentation
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

A, B = Modality("a", (3,), "vector"), Modality("b", (2,), "vector")
TINY = {"a": {"hidden": [3]}, "b": {"hidden": [2]}}
CONFIGS = Path(__file__).parents[4] / "configs/method"
ALGORITHM1: dict[str, object] = {"outer": "complete", "inner_weight": 0.0}


def tiny(**settings: object) -> SMIL:
    """A differentiable net in double precision, past its pretraining, with given priors."""
    torch.manual_seed(0)
    options = {"latent_dim": 4, "outputs": 3, "encoders": TINY, "common_dim": None, "clusters": 2}
    config = SMILConfig(**{**options, "dropout": 0.0, **settings})  # type: ignore[arg-type]
    model = SMIL([A, B], config).double()
    model.updates.fill_(10_000)
    for i in range(2):
        model.get_buffer(f"priors_{i}").normal_()
    return model


def samples(missing_b: int = 3) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    torch.manual_seed(1)
    inputs = {"a": torch.randn(7, 3).double(), "b": torch.randn(7, 2).double()}
    available = torch.ones(7, 2, dtype=torch.bool)
    available[:missing_b, 1] = False
    return inputs, available, torch.tensor([0, 1, 2, 0, 1, 2, 0])


def naive_means(model: SMIL, inputs: Mapping[str, Tensor], available: Tensor) -> np.ndarray:
    """Logits with all noise zero, one sample after the other."""
    p = {name: x.detach().numpy() for name, x in model.state_dict().items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        result: np.ndarray = p[f"{name}.weight"] @ x + p[f"{name}.bias"]
        return result

    def softplus(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.log1p(np.exp(x))
        return result

    rows = []
    for n in range(len(available)):
        h = [model.encoders[m](inputs[m][n : n + 1])[0].detach().numpy() for m in ("a", "b")]
        there = available[n].tolist()
        features = []
        for k in (0, 1):
            # Expected weights are one; the guess is the mean of the priors.
            guess = p[f"priors_{k}"].mean(axis=0)
            features.append(h[k] if there[k] else guess)
        u = np.concatenate(features)
        parameters = [linear(f"perturb_joined.{i}", h[i]) for i in (0, 1) if there[i]]
        mu = np.mean(parameters, axis=0)[: len(u)]
        f = u + softplus(mu)
        g = np.maximum(linear("first", f), 0)
        latent = g + softplus(linear("perturb_latent", f)[:4])
        logits = linear("last", latent)
        rows.append(logits - np.log(np.exp(logits).sum()))
    return np.array(rows)


def test_mean_prediction_matches_the_equations() -> None:
    model = tiny(test_samples=0).eval()
    inputs, available, _ = samples()
    available[0] = torch.tensor([False, True])
    predicted = model.predict(inputs, available).detach().numpy()
    np.testing.assert_allclose(predicted, naive_means(model, inputs, available), rtol=1e-8)


def test_convex_weights_stay_in_the_hull_of_the_priors() -> None:
    model = tiny(weights="convex", regularize=False)
    inputs, available, _ = samples(missing_b=7)
    (result,) = model.forward(inputs, available)
    priors = model.get_buffer("priors_1").numpy()
    weights = (
        F.softplus(model.reconstruct["0_1"](model.encoders["a"](inputs["a"]))).detach().numpy()
    )
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.joined[:, 3:].detach().numpy(), weights @ priors, rtol=1e-10)


def test_gaussian_weights_have_mean_one() -> None:
    model = tiny(regularize=False, samples=20_000)
    inputs, available, _ = samples(missing_b=7)
    one = {name: x[:1] for name, x in inputs.items()}
    (result,) = model.forward(one, available[:1])
    guessed = result.joined[:, 3:].mean(dim=0)
    torch.testing.assert_close(guessed, model.get_buffer("priors_1").mean(dim=0), atol=0.02, rtol=0)


def test_divergence_is_the_one_of_gaussians() -> None:
    model = tiny()
    inputs, available, _ = samples(missing_b=7)
    (result,) = model.forward(inputs, available)
    h = model.encoders["a"](inputs["a"])
    sigma = F.softplus(model.reconstruct["0_1"](h)) + 1e-4
    one = torch.ones_like(sigma)
    kl = _kl(one, sigma, one).sum(1)
    mu, spread = model.perturb_joined[0](h).chunk(2, dim=1)
    kl += _kl(mu, F.softplus(spread) + 1e-4, torch.zeros_like(mu)).sum(1)
    mu, spread = model.perturb_latent(result.joined).chunk(2, dim=1)
    kl += _kl(mu, F.softplus(spread) + 1e-4, torch.zeros_like(mu)).sum(1)
    torch.testing.assert_close(result.kl, kl)


def _kl(mu: Tensor, sigma: Tensor, prior: Tensor) -> Tensor:
    normal = torch.distributions.Normal
    return torch.distributions.kl_divergence(normal(mu, sigma), normal(prior, torch.ones_like(mu)))


def test_multiplying_and_unit_noise_are_what_they_say() -> None:
    model = tiny(operation="multiply", noise="unit", test_samples=0).eval()
    inputs, available, _ = samples(missing_b=0)
    (result,) = model.forward(inputs, available)
    h = [model.encoders[name](inputs[name]) for name in ("a", "b")]
    mu = (model.perturb_joined[0](h[0]) + model.perturb_joined[1](h[1])) / 2
    torch.testing.assert_close(result.joined, torch.cat(h, dim=1) * F.softplus(mu))


def outer_loss(model: SMIL, data: tuple[dict[str, Tensor], Tensor, Tensor]) -> float:
    """Algorithm 1 by hand: weights are overwritten by an explicit step, then judged."""
    inputs, available, y = data
    complete = available.all(dim=1)
    torch.manual_seed(3)
    theta = model._main_parameters()
    (result,) = model.forward({n: x[~complete] for n, x in inputs.items()}, available[~complete])
    loss = F.cross_entropy(result.logits, y[~complete])
    gradients = torch.autograd.grad(
        loss, list(theta.values()), allow_unused=True, materialize_grads=True
    )
    kept = {name: p.detach().clone() for name, p in theta.items()}
    c = model.config
    with torch.no_grad():
        for p, g in zip(theta.values(), gradients, strict=True):
            p.sub_(c.inner_lr * g)
        seen = available[complete]
        views = (seen,) if c.outer == "complete" else (seen, _hide_one_or_more(seen))
        whole, *guessed = model.forward({n: x[complete] for n, x in inputs.items()}, seen, views)
        judged = c.inner_weight * loss.detach()
        for result in guessed if c.outer == "reconstructed" else (whole, *guessed):
            judged += F.cross_entropy(result.logits, y[complete])
            judged += c.kl_weight * result.kl.mean()
            judged += c.reconstruction_weight * result.reconstruction
        for result in guessed:
            gap = F.mse_loss(result.joined, whole.joined) + F.mse_loss(result.latent, whole.latent)
            judged += c.distillation_weight * gap
        for name, p in theta.items():
            p.copy_(kept[name])
    return float(judged)


@pytest.mark.parametrize(
    "settings",
    [
        ALGORITHM1,
        {},
        {"outer": "reconstructed", "weights": "convex", "distillation_weight": 0.5},
        {"operation": "multiply", "inner_weight": 0.3},
    ],
)
def test_meta_gradient_matches_finite_differences(settings: dict[str, object]) -> None:
    # A large inner step makes the second-order terms count.
    # The reconstruction is left out: its targets are constants, which differences cannot know.
    model = tiny(inner_lr=0.5, kl_weight=0.1, reconstruction_weight=0.0, **settings)
    data = samples()
    torch.manual_seed(3)
    loss = torch.stack(list(model.meta_terms(*data).values())).sum()
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    assert loss.item() == pytest.approx(outer_loss(model, data), rel=1e-10)
    step, compared = 1e-6, 0
    for name, p, g in zip(names, parameters, gradients, strict=True):
        if not bool(g.any()):
            # Where only b is ever missing, nothing guesses a.
            assert name.startswith(("alone.", "reconstruct.1_0.")), f"{name} got no gradient"
            continue
        flat = p.detach().view(-1)
        place = int(g.abs().argmax())
        value = float(flat[place])
        flat[place] = value + step
        above = outer_loss(model, data)
        flat[place] = value - step
        below = outer_loss(model, data)
        flat[place] = value
        assert float(g.view(-1)[place]) == pytest.approx((above - below) / (2 * step), rel=1e-4), (
            name
        )
        compared += 1
    assert compared > 10


def test_second_order_counts_and_can_be_left_out() -> None:
    data = samples()
    found = []
    for first_order in (False, True):
        model = tiny(inner_lr=0.5, first_order=first_order, **ALGORITHM1)
        torch.manual_seed(3)
        loss = torch.stack(list(model.meta_terms(*data).values())).sum()
        weights = dict(model.named_parameters())
        found.append(torch.autograd.grad(loss, weights["first.weight"])[0])
    assert float((found[0] - found[1]).abs().max()) > 1e-3


def test_without_an_inner_step_it_is_the_plain_loss_of_complete_samples() -> None:
    model = tiny(inner_lr=0.0, **ALGORITHM1)
    inputs, available, y = samples()
    torch.manual_seed(3)
    meta = model.meta_terms(inputs, available, y)
    torch.manual_seed(3)
    model.forward({n: x[:3] for n, x in inputs.items()}, available[:3])
    plain = model.terms({n: x[3:] for n, x in inputs.items()}, available[3:], y[3:])
    for name, term in plain.items():
        torch.testing.assert_close(meta[name], term)


def test_by_default_incomplete_samples_teach_what_one_modality_says() -> None:
    """By the letter of algorithm 1, their labels reach the weights through the inner step alone."""
    inputs, available, y = samples()
    other = y.clone()
    other[:3] = (y[:3] + 1) % 3  # of the samples that lack b
    reached = {}
    for name, settings in {"letter": ALGORITHM1, "default": {}}.items():
        gradients = []
        for labels in (y, other):
            model = tiny(inner_lr=0.0, **settings)
            torch.manual_seed(5)
            loss = torch.stack(list(model.meta_terms(inputs, available, labels).values())).sum()
            gradients.append(torch.autograd.grad(loss, model.last.weight)[0])
        reached[name] = float((gradients[0] - gradients[1]).abs().max())
    assert reached["letter"] == 0
    assert reached["default"] > 1e-3


def test_released_outer_judges_guessed_features() -> None:
    model = tiny(outer="reconstructed", weights="convex", noise="unit", kl_weight=0.0)
    terms = model.meta_terms(*samples())
    assert set(terms) == {"inner", "guessed_task", "guessed_reconstruction", "distillation"}
    assert float(terms["distillation"].detach()) > 0


@pytest.mark.parametrize("missing_b", [0, 7])
def test_batches_of_one_kind_only_are_fine(missing_b: int) -> None:
    terms = tiny().meta_terms(*samples(missing_b))
    assert all(bool(torch.isfinite(term)) for term in terms.values())


def test_pretraining_ends_with_priors_of_the_features_at_hand() -> None:
    data = made_data([A, B], samples=40, missing=0.4)
    torch.manual_seed(0)
    model = SMIL([A, B], SMILConfig(encoders=TINY, outputs=3, clusters=4, pretrain_steps=3))
    with optimization(model, data):
        for step in range(3):
            assert not model.pretrained
            assert not bool(model.get_buffer("priors_1").any())
            terms = model.update(data.batch(np.arange(40)))
            measured = ["guess_r2_a", "guess_r2_b"] if step == 2 else []  # with the first priors
            assert set(terms) == {"loss", "task", "task_a", "task_b", *measured}, step
        model.eval()
        inputs, _ = model.prepare(data.batch(np.flatnonzero(data.available[:, 1])))
        features = model.encoders["b"](inputs["b"])
        expected = find_priors(features, 4, "kmeans")
        torch.testing.assert_close(model.get_buffer("priors_1"), expected)
        model.train()
        assert set(model.update(data.batch(np.arange(40)))) >= {"task", "kl", "reconstruction"}


def test_batches_with_few_complete_samples_get_more_of_them() -> None:
    data = made_data([A, B], samples=20)
    data.available[2:, 1] = False
    model = SMIL([A, B], SMILConfig(encoders=TINY, outputs=3))
    with optimization(model, data):
        batch = model._with_complete_samples(data.batch(np.arange(12)))
        enough = model._with_complete_samples(data.batch(np.arange(4)))
    whole = batch.available.all(dim=1)
    assert (int(whole.sum()), int((~whole).sum())) == (10, 10)
    known = torch.as_tensor(data.values["b"][:2])
    assert all(bool((row == known).all(dim=1).any()) for row in batch.values["b"][whole])
    assert len(enough) == 4


def test_drawn_samples_are_varied_like_the_batch() -> None:
    """Images become numbers in [0, 1] by variation: bytes beside them would be seen 255 times."""
    modalities = [Modality("image", (1, 8, 8), "image"), B]
    data = made_data(modalities, samples=12)
    data.available[2:, 1] = False
    model = SMIL(modalities, SMILConfig(outputs=3, clusters=2, pretrain_steps=1))
    model.updates.fill_(10)
    seen: list[Tensor] = []
    model.encoders["image"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    config = FitConfig(
        steps=2, batch_size=8, save_every=1e9, augment={"image": Augmentation(shift=0.1)}
    )
    fit(model, data, config, seed=0)
    assert seen
    assert max(float(x.max()) for x in seen) <= 1


ABLATIONS: dict[str, dict[str, object]] = {
    "smil_no_meta": {"meta": False},
    "smil_no_regularization": {"regularize": False},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_removes_one_thing(name: str) -> None:
    """The same terms, from the same samples: those of the batch and those drawn beside them."""
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert {k: v for k, v in settings.items() if k != "defaults"} == ABLATIONS[name]
    data = made_data([A, B], samples=30, missing=0.4)
    seen = []
    for changes in ({}, ABLATIONS[name]):
        torch.manual_seed(0)
        config = SMILConfig(encoders=TINY, outputs=3, clusters=2, **changes)  # type: ignore[arg-type]
        model = SMIL([A, B], config)
        model.updates.fill_(10_000)
        rows: list[Tensor] = []
        model.encoders["a"].register_forward_pre_hook(
            lambda _, inputs, rows=rows: rows.append(inputs[0])
        )
        with optimization(model, data):
            torch.manual_seed(1)
            terms = model.update(data.batch(np.arange(30)))
        seen.append((set(terms), rows))
    (names, rows), (names_without, rows_without) = seen
    assert names == names_without
    assert len(rows) == len(rows_without)
    for x, other in zip(rows, rows_without, strict=True):
        assert torch.equal(x, other)


def test_without_meta_learning_it_is_an_inner_step_of_length_zero() -> None:
    found = []
    for settings in ({"meta": False}, {"inner_lr": 0.0}):
        model = tiny(**settings)
        torch.manual_seed(5)
        terms = model.meta_terms(*samples())
        loss = torch.stack(list(terms.values())).sum()
        found.append((terms, torch.autograd.grad(loss, model.first.weight)[0]))
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1])


@pytest.mark.parametrize("refresh_every", [0, 2])
def test_priors_follow_the_encoders_unless_they_are_held(refresh_every: int) -> None:
    data = made_data([A, B], samples=40)
    torch.manual_seed(0)
    config = SMILConfig(
        encoders=TINY, outputs=3, clusters=4, pretrain_steps=1, refresh_every=refresh_every
    )
    model = SMIL([A, B], config)
    with optimization(model, data, lr=1e-2):
        model.update(data.batch(np.arange(40)))
        first = model.get_buffer("priors_0").clone()
        for _ in range(2):
            terms = model.update(data.batch(np.arange(40)))
        model.eval()
        inputs, _ = model.prepare(data.batch(np.arange(40)))
        features = model.encoders["a"](inputs["a"]).detach()
        now = model.get_buffer("priors_0")
    if not refresh_every:
        assert torch.equal(now, first)
        return
    assert not torch.equal(now, first)
    torch.testing.assert_close(now, find_priors(features, 4, "kmeans", previous=first))
    assert {"guess_r2_a", "guess_r2_b"} <= set(terms)


def test_how_good_guesses_are_is_measured_against_the_mean() -> None:
    model = tiny(weights="convex")
    inputs, available, _ = samples(missing_b=2)
    with torch.no_grad():
        h = model.features(inputs, available)
        found = model._guess_r2(h, available)
    whole = available.all(dim=1)
    sigma = F.softplus(model.reconstruct["0_1"](h[0]))
    guesses = sigma / sigma.sum(dim=1, keepdim=True) @ model.get_buffer("priors_1")
    true = h[1][whole]
    error = (guesses[whole] - true).square().sum() / (true - true.mean(dim=0)).square().sum()
    assert found["b"] == pytest.approx(1 - float(error.detach()))


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_several_starts_finds_every_cluster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.permutation(10)[:, None] * np.array([[10.0, -7.0, 3.0]]) + rng.normal(size=(10, 3))
    x = torch.from_numpy(np.repeat(true, 30, axis=0) + 0.1 * rng.normal(size=(300, 3)))
    found = find_priors(x, 10, "kmeans", seed).numpy()
    nearest = np.linalg.norm(found[:, None] - true[None], axis=2).argmin(axis=1)
    assert sorted(nearest) == list(range(10))


def test_no_centre_stays_where_the_features_were() -> None:
    """Ten clusters that have all moved far away, in another order of the samples."""
    rng = np.random.default_rng(0)
    true = rng.permutation(10)[:, None] * np.array([[10.0, -7.0, 3.0]])
    x = torch.from_numpy(np.repeat(true, 30, axis=0) + 0.1 * rng.normal(size=(300, 3)))
    before = find_priors(x, 10, "kmeans")
    order = torch.randperm(300)
    after = find_priors(x[order] + 500.0, 10, "kmeans", previous=before)
    torch.testing.assert_close(after.mean(dim=0), x.mean(dim=0) + 500.0, atol=0.1, rtol=0)
    small = find_priors(x[order] + 0.5, 10, "kmeans", previous=before)
    torch.testing.assert_close(small, before + 0.5, atol=0.1, rtol=0)


def test_directions_keep_their_ends() -> None:
    torch.manual_seed(0)
    x = torch.randn(100, 4) * torch.tensor([9.0, 4.0, 2.0, 1.0])
    before = find_priors(x, 3, "pca")
    mirrored = before.mean(dim=0) * 2 - before
    for previous in (before, mirrored):
        found = find_priors(x + 0.01, 3, "pca", previous=previous)
        assert bool(((found - x.mean(0)) * (previous - previous.mean(0))).sum(dim=1).gt(0).all())


def test_too_few_samples_for_the_priors_are_named() -> None:
    data = made_data([A, B], samples=12)
    data.available[3:, 1] = False
    model = SMIL([A, B], SMILConfig(encoders=TINY, outputs=3, clusters=4, pretrain_steps=1))
    with (
        optimization(model, data),
        pytest.raises(
            ValueError, match=r"modality 'b': 4 priors want at least as many samples, got 3"
        ),
    ):
        model.update(data.batch(np.arange(12)))


def test_priors_by_principal_directions() -> None:
    torch.manual_seed(0)
    scale = torch.tensor([5.0, 2.0, 0.1])
    x = torch.randn(4000, 3) * scale + 7.0
    priors = find_priors(x, 2, "pca") - x.mean(dim=0)
    torch.testing.assert_close(priors.norm(dim=1), scale[:2], rtol=0.05, atol=0)
    assert abs(float(priors[0] @ priors[1])) < 0.1
    assert find_priors(x, 5, "pca").shape == (5, 3)


@pytest.mark.parametrize("test_samples", [0, 3])
def test_several_views_in_one_pass_are_those_views_one_by_one(test_samples: int) -> None:
    model = tiny(test_samples=test_samples).eval()
    inputs, available, _ = samples(missing_b=0)
    guess_b = available.clone()
    guess_b[2:5, 1] = False
    both = model(inputs, available, (available, guess_b))
    for together, view in zip(both, (available, guess_b), strict=True):
        (alone,) = model(inputs, available, (view,))
        torch.testing.assert_close(together, alone)
    assert not torch.equal(both[0].logits, both[1].logits)
    assert not torch.equal(both[0].reconstruction, both[1].reconstruction)


def test_main_network_has_the_papers_size() -> None:
    image, sound = Modality("image", (1, 28, 28), "image"), Modality("sound", (1, 20, 20), "sound")
    encoders = {"image": {"kind": "digit_image"}, "sound": {"kind": "digit_sound"}}
    model = SMIL([image, sound], SMILConfig(encoders=encoders, common_dim=None))
    # 105,560 in the released code, of which 62,324 are the heads of its unimodal stages.
    assert sum(p.numel() for p in model._main_parameters().values()) == 105_560 - 62_324


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"priors": "mean"}, "priors is 'mean'; known: kmeans, pca"),
        ({"weights": "softmax"}, "weights is 'softmax'; known: gaussian, convex"),
        ({"outer": "all"}, "outer is 'all'; known: both, complete, reconstructed"),
        ({"inner_weight": -1.0}, "inner_weight must not be negative"),
        ({"clusters": 0}, "clusters, inner_steps and samples must be at least 1"),
        ({"inner_lr": -1.0}, "must not be negative"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SMILConfig(**settings)  # type: ignore[arg-type]


def test_one_modality_is_refused() -> None:
    with pytest.raises(ValueError, match="wants two or more"):
        SMIL([A])
