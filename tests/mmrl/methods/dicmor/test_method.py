"""DiCMoR's densities, class inference, transfer and loss, against naive versions."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrl.methods.dicmor.config import DiCMoRConfig
from mmrl.methods.dicmor.method import DiCMoR
from mmrl.modality import Batch, Modality
from mmrl.testing import made_data, optimization

NAMES = ("text", "vision", "audio")
MODALITIES = [Modality(name, (5, 3), "sequence") for name in NAMES]


def dicmor(noise: float = 0.1, **settings: object) -> DiCMoR:
    torch.manual_seed(0)
    options = {
        "latent_dim": 24, "outputs": 3, "width": 4, "kernel": 2, "heads": 2, "layers": 1,
        "couplings": 2, "hidden": 4, "refiner_blocks": 1, "pretrain_steps": 0,
        "attention_dropout": 0.0, "embedding_dropout": 0.0, "output_dropout": 0.0,
    }  # fmt: skip
    model = DiCMoR(MODALITIES, DiCMoRConfig(**{**options, **settings}))  # type: ignore[arg-type]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(noise * torch.randn_like(p))
    return model.double().eval()


def naive_log_normal(z: np.ndarray, mean: np.ndarray, log_std: np.ndarray) -> float:
    total = 0.0
    for d in range(z.shape[0]):
        for t in range(z.shape[1]):
            u = (z[d, t] - mean[d]) / math.exp(log_std[d])
            total -= 0.5 * u * u + 0.5 * math.log(2 * math.pi) + log_std[d]
    return total


@pytest.mark.parametrize("condition", ["flow", "prior", "none"])
def test_density_is_that_of_the_flow_under_the_class_prior(condition: str) -> None:
    model = dicmor(condition=condition)
    x = torch.randn(3, 2, 4, 4).double()
    y = torch.tensor([2, 0])
    bits = model.densities(*model.latents(x), model.classes(y))
    means, stds = model.prior_mean.detach().numpy(), model.prior_log_std.detach().numpy()
    for m in range(3):
        for n in range(2):
            z, log_det = model.flows(x[:, n])
            c = 0 if condition == "none" else int(y[n])
            own = m if condition == "flow" else 0
            log_p = naive_log_normal(z[m].detach().numpy(), means[own, c], stds[own, c])
            expected = -(log_p + log_det[m].sum().item()) / (math.log(2) * 4 * 4)
            assert bits[m, n].item() == pytest.approx(expected)


def test_class_probabilities_are_bayes() -> None:
    model = dicmor(noise=0.3)
    z = torch.randn(3, 2, 4, 4).double()
    available = torch.tensor([[1, 1, 0], [0, 0, 1]]).bool()
    found = model.infer_classes(z, available).detach().numpy()
    means, stds = model.prior_mean.detach().numpy(), model.prior_log_std.detach().numpy()
    for n in range(2):
        logs = [
            sum(
                naive_log_normal(z[m, n].numpy(), means[m, c], stds[m, c])
                for m in range(3)
                if available[n, m]
            )
            for c in range(3)
        ]
        p = np.exp(np.array(logs) - max(logs))
        np.testing.assert_allclose(found[n], p / p.sum(), rtol=1e-8)


def test_identical_flows_transfer_unchanged() -> None:
    model = dicmor(noise=0.0, flow="coupling", condition="prior")
    x = torch.randn(3, 2, 4, 4).double()
    made = model.transfer(x, torch.ones(2, 3).bool())
    for i, others in enumerate([(1, 2), (0, 2), (0, 1)]):
        for k, j in enumerate(others):
            torch.testing.assert_close(made[i, k], x[j])


def test_transfer_goes_through_the_class_of_both_modalities() -> None:
    model = dicmor(noise=0.3)
    x = torch.randn(3, 1, 4, 4).double()
    available = torch.tensor([[True, False, True]])
    made = model.transfer(x, available)
    assert not bool(made[2, 1].any()), "text, audio are there; vision is no source"
    z = model.flows(x[:, 0])[0]
    r = model.infer_classes(z[:, None], available)[0]
    mean, std = model.prior_mean, model.prior_log_std.exp()
    moved = sum(
        r[c]
        * (mean[1, c, :, None] + (std[1, c] / std[0, c])[:, None] * (z[0] - mean[0, c, :, None]))
        for c in range(3)
    )
    assert isinstance(moved, Tensor)
    latents = torch.zeros(3, 4, 4).double()
    latents[1] = moved
    torch.testing.assert_close(made[1, 0, 0], model.flows.inverse(latents)[1])


def test_a_trained_flow_moves_one_distribution_onto_the_other() -> None:
    """Shifted and scaled noise: recovered features must follow the missing one's distribution."""
    torch.manual_seed(0)
    model = dicmor(noise=0.0, couplings=2).float()
    truth = torch.tensor([[0.0, 1.0], [4.0, 0.5], [-3.0, 2.0]])
    optimizer = torch.optim.Adam(
        [*model.flows.parameters(), model.prior_mean, model.prior_log_std], 2e-2
    )
    for step in range(150):
        x = truth[:, :1, None, None] + truth[:, 1:, None, None] * torch.randn(3, 32, 4, 4)
        if step == 0:
            flat = x.transpose(1, 2).flatten(2)
            model.flows.initialize(flat, torch.ones(3, flat.shape[2]).bool())
        loss = model.densities(*model.latents(x), torch.zeros(32, dtype=torch.long)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = truth[:, :1, None, None] + truth[:, 1:, None, None] * torch.randn(3, 200, 4, 4)
    made = model.transfer(x, torch.ones(200, 3).bool())
    for i, others in enumerate([(1, 2), (0, 2), (0, 1)]):
        for k, _ in enumerate(others):
            assert float(made[i, k].mean()) == pytest.approx(float(truth[i, 0]), abs=0.3)
            assert float(made[i, k].std()) == pytest.approx(float(truth[i, 1]), rel=0.2)


def test_what_is_recovered_stays_among_the_features_of_training() -> None:
    """Also where the inverse of a flow explodes; a modality that never was there has no range."""
    model = dicmor(hide_rate=0.0).train()
    data = made_data(MODALITIES, samples=30)
    batch = data.batch(np.arange(30))
    batch.values = {name: x.double() for name, x in batch.values.items()}
    batch.available[:, 2] = False
    model.losses(batch)
    x = model.features(model.scale(batch.values), batch.available).detach()
    with torch.no_grad():
        model.flows.rotation.mul_(0.2)  # its inverse multiplies by 5 in every step
    made = model.transfer(100 * x, torch.ones(30, 3).bool())
    for m in range(2):
        lowest, highest = x[m].amin(dim=(0, 2)), x[m].amax(dim=(0, 2))
        assert bool((made[m] >= lowest[:, None]).all() and (made[m] <= highest[:, None]).all())
        assert bool((made[m] == highest[:, None]).any())
    assert float(made[2].abs().max()) > 100 * float(x.abs().max())


def test_flows_learn_from_their_densities_alone() -> None:
    model = dicmor(density_weight=0.0)
    data = made_data(MODALITIES, samples=6)
    batch = data.batch(np.arange(6))
    batch.values = {name: x.double() for name, x in batch.values.items()}
    batch.available[:, 1] = False
    terms = model.losses(batch)
    (terms["task"] + terms["reconstruction"]).backward()
    assert all(p.grad is None or not bool(p.grad.any()) for p in model.flows.parameters())
    assert model.combine.get_parameter("weight").grad is not None


def test_reconstruction_is_judged_on_what_training_hides_only() -> None:
    model = dicmor(hide_rate=0.9).train()
    data = made_data(MODALITIES, samples=6)
    batch = data.batch(np.arange(6))
    batch.values = {name: x.double() for name, x in batch.values.items()}
    assert float(model.losses(batch)["reconstruction"].detach()) > 0
    batch.available[:, 1:] = False
    assert float(model.losses(batch)["reconstruction"].detach()) == 0


def test_with_ground_truth_missing_values_teach_and_without_they_do_not() -> None:
    data = made_data(MODALITIES, samples=6)
    batch = data.batch(np.arange(6))
    values = {name: x.double() for name, x in batch.values.items()}
    mask = batch.available.clone()
    mask[:3, 2] = False
    other = {**values, "audio": values["audio"] + 1.0}
    for no_ground_truth in (True, False):
        model = dicmor(no_ground_truth=no_ground_truth, hide_rate=0.0)
        losses = []
        for given in (values, other):
            given = {**given, "audio": torch.cat([given["audio"][:3], values["audio"][3:]])}
            losses.append(model.losses(Batch(given, mask, batch.target))["loss"].item())
        assert (losses[0] == losses[1]) is no_ground_truth


def test_training_hides_modalities_before_recovery_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dicmor(pretrain_steps=5).float()
    batch = made_data(MODALITIES, samples=6).batch(np.arange(6))
    first = torch.zeros_like(batch.available)
    first[:, 0] = True
    alone = model.losses(Batch(batch.values, first, batch.target))["task"]
    whole = model.losses(batch)["task"]
    monkeypatch.setattr("mmrl.methods.dicmor.method.hide", lambda available, rate: first)
    torch.testing.assert_close(model.losses(batch)["task"], whole)  # in evaluation nothing is
    model.train()
    model.fusion.eval()
    torch.testing.assert_close(model.losses(batch)["task"], alone)


def test_recovery_waits_for_the_end_of_pretraining() -> None:
    data = made_data(MODALITIES, samples=8, missing=0.4)
    model = dicmor(pretrain_steps=1).float()
    with optimization(model, data):
        assert set(model.update(data.batch(np.arange(8)))) == {"loss", "task"}
        weight = model.encoders["text"].get_parameter("convolution.weight")
        fixed = weight.detach().clone()
        assert set(model.update(data.batch(np.arange(8)))) >= {"density", "reconstruction"}
    assert torch.equal(weight, fixed)


def test_batch_statistics_are_of_what_is_there_and_end_with_pretraining() -> None:
    """A sound's network has batch normalisation; rows without sound, and later ones, leave it."""
    modalities = [Modality("image", (1, 8, 8), "image"), Modality("sound", (1, 8, 4), "sound")]
    data = made_data(modalities, samples=16)
    data.available[4:, 1] = False
    model = DiCMoR(modalities, DiCMoRConfig(outputs=3, couplings=2, layers=1, pretrain_steps=2))
    batch = data.batch(np.arange(16))
    statistics = model.get_buffer("encoders.sound.0.layers.1.running_mean")
    with optimization(model, data):
        model.update(batch)
        before = statistics.clone()
        inputs, available = model.prepare(batch)
        seen = model.encoders["sound"].get_submodule("0.layers.0")(inputs["sound"][:4])
        mean = 0.9 * before + 0.1 * seen.mean(dim=(0, 2, 3))
        model.update(batch)
        torch.testing.assert_close(statistics, mean)
        model.update(batch)
        torch.testing.assert_close(statistics, mean)
        in_training = model.features(inputs, available)
        model.eval()
        torch.testing.assert_close(in_training, model.features(inputs, available))


def test_regression_rounds_targets_to_classes() -> None:
    model = dicmor(task="regression", outputs=1)
    y = torch.tensor([[-3.4], [-2.5], [0.5], [1.5], [2.7]])
    assert model.classes(y).tolist() == [0, 1, 3, 5, 6]


def test_density_can_be_floored() -> None:
    data = made_data(MODALITIES, samples=6)
    batch = data.batch(np.arange(6))
    batch.values = {name: x.double() for name, x in batch.values.items()}
    for floor in (False, True):
        model = dicmor(noise=0.0, floor_density=floor, flow="coupling")
        with torch.no_grad():
            model.prior_log_std.fill_(-3.0)
            for encoder in model.encoders.values():
                encoder.get_parameter("convolution.weight").mul_(1e-3)
        assert (float(model.losses(batch)["density"].detach()) < 0) is not floor


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flow": "nice"}, "flow is 'nice'; known: glow, coupling"),
        ({"condition": "label"}, "condition is 'label'; known: flow, prior, none"),
        ({"hide_rate": 1.0}, r"hide_rate must be in \[0, 1\)"),
        ({"steps": 0}, "steps must be null or at least 1, got 0"),
        ({"class_range": 0}, "class_range positive"),
        ({"task": "labels"}, r"condition is 'flow', and several labels .* set condition=none"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiCMoRConfig(**settings)  # type: ignore[arg-type]


def test_modalities_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="wants two or more"):
        DiCMoR(MODALITIES[:1])
    short = [MODALITIES[0], Modality("short", (3, 2), "sequence")]
    with pytest.raises(ValueError, match="a kernel of 5 does not fit"):
        DiCMoR(short, DiCMoRConfig(steps=2))
