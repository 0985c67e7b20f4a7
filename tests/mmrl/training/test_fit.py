from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrl.data.arrays import ArrayData, Column
from mmrl.methods.gmc.method import GMC
from mmrl.modality import Batch, Modality
from mmrl.testing import optimization
from mmrl.training.augment import Augmentation
from mmrl.training.config import OPTIMIZERS, FitConfig
from mmrl.training.fit import fit, sample_order

MODALITIES = (Modality("image", (1, 8, 8), "image"), Modality("sound", (6,), "vector"))


def data(samples: int = 200) -> ArrayData:
    """Both modalities show the same two hidden numbers."""
    rng = np.random.default_rng(0)
    hidden = rng.uniform(-1, 1, (samples, 2))
    pixels = 127 * (1 + np.tanh(hidden @ rng.normal(size=(2, 64))))
    values: dict[str, Column] = {
        "image": pixels.astype(np.uint8).reshape(-1, 1, 8, 8),
        "sound": (hidden @ rng.normal(size=(2, 6)) * 5 + 100).astype(np.float32),
    }
    return ArrayData(values, MODALITIES)


def test_the_accelerator_follows_the_device_unless_it_is_set() -> None:
    left_open = config(accelerator="auto")
    assert left_open.on("cuda:1").accelerator == "cuda"
    assert left_open.on("auto") == left_open
    assert config(accelerator="cpu").on("cuda").accelerator == "cpu"


def gmc() -> GMC:
    torch.manual_seed(0)
    return GMC(MODALITIES)


def config(**settings: object) -> FitConfig:
    base = {"steps": 40, "batch_size": 32, "lr": 3e-3, "accelerator": "cpu"}
    return FitConfig(**(base | settings))  # type: ignore[arg-type]


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_training_lowers_the_loss(schedule: str, optimizer: str) -> None:
    losses: list[float] = []
    lr = 0.3 if optimizer == "sgd" else 3e-3
    method = gmc()
    settings = config(schedule=schedule, optimizer=optimizer, lr=lr)
    result = fit(
        method, data(), settings, seed=0, on_step=lambda _, terms: losses.append(terms["loss"])
    )
    assert len(losses) == result.steps == 40
    assert np.mean(losses[-5:]) < (0.995 if optimizer == "sgd" else 0.97) * losses[0]
    assert result.losses["loss"] == pytest.approx(np.mean(losses[-4:]))
    assert not method.training
    assert method.optimization is None


def test_the_same_seed_gives_the_same_weights() -> None:
    runs = [gmc() for _ in range(3)]
    for method, seed in zip(runs, [0, 0, 1], strict=True):
        fit(method, data(), config(steps=5), seed=seed)
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


def killed_training(folder: Path, **settings: object) -> Path:
    """What a training that was killed in its 25th step leaves."""

    class Killed(BaseException):
        pass

    def kill(step: int, _: Mapping[str, float]) -> None:
        if step == 25:
            raise Killed

    state = folder / "fit.pt"
    often = config(**settings, save_every=0.0)
    with pytest.raises(Killed):
        fit(gmc(), data(), often, seed=0, state=state, on_step=kill)
    return state


VARIED = {"image": Augmentation(rotate=20.0, shift=0.1), "sound": Augmentation(noise=0.3)}


def test_a_training_sees_varied_samples_in_units_of_its_data() -> None:
    seen: list[Batch] = []

    class Watched(GMC):
        def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
            seen.append(batch)
            return super().losses(batch)

    torch.manual_seed(0)
    train = data(32)
    fit(Watched(MODALITIES), train, config(steps=2, augment=VARIED), seed=0)
    rows = np.array([*sample_order(32, 32, 0, 0, 1)]).ravel()
    plain = train.batch(rows)
    noise = seen[0].values["sound"] - plain.values["sound"]
    unit = train.values["sound"][:].std(axis=0)
    assert (noise.numpy() / unit).std() == pytest.approx(0.3, rel=0.2)
    assert not torch.equal(seen[0].values["image"], plain.values["image"].float() / 255)


@pytest.mark.parametrize("augment", [{}, VARIED])
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    tmp_path: Path, augment: dict[str, Augmentation]
) -> None:
    whole = gmc()
    fit(whole, data(), config(augment=augment), seed=0)

    state = killed_training(tmp_path, augment=augment)
    steps: list[int] = []
    resumed = gmc()
    fit(
        resumed,
        data(),
        config(augment=augment),
        seed=0,
        state=state,
        on_step=lambda step, _: steps.append(step),
    )
    assert steps == list(range(25, 41))
    assert same_weights(whole, resumed)
    again: list[int] = []
    fit(gmc(), data(), config(), seed=0, state=state, on_step=lambda step, _: again.append(step))
    assert again == []


def test_a_killed_training_may_go_on_in_another_memory_format(tmp_path: Path) -> None:
    whole, resumed = gmc(), gmc()
    fit(whole, data(), config(), seed=0)

    state = killed_training(tmp_path)
    fit(resumed, data(), config(channels_last=False), seed=0, state=state)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_gradients_that_a_method_made_itself_may_have_any_memory_format() -> None:
    method = gmc()
    convolution = next(p for p in method.parameters() if p.dim() == 4 and p.shape[1] > 1)
    before = convolution.detach().clone()
    gradient = torch.randn_like(before, memory_format=torch.contiguous_format)
    convolution.data = convolution.data.contiguous(memory_format=torch.channels_last)
    with optimization(method, data(), lr=0.1) as lent:
        lent.descend([(convolution, gradient)])
    # Adam's first step is the sign of the gradient.
    torch.testing.assert_close(convolution, before - 0.1 * gradient.sign(), rtol=0, atol=1e-4)


def test_gradients_that_a_method_put_in_place_may_have_any_memory_format() -> None:
    method = gmc()
    convolution = next(p for p in method.parameters() if p.dim() == 4 and p.shape[1] > 1)
    before = convolution.detach().clone()
    gradient = torch.randn_like(before, memory_format=torch.contiguous_format)
    convolution.grad = gradient.clone()
    convolution.data = convolution.data.contiguous(memory_format=torch.channels_last)
    with optimization(method, data(), lr=0.1) as lent:
        lent.step()
    torch.testing.assert_close(convolution, before - 0.1 * gradient.sign(), rtol=0, atol=1e-4)


def test_a_resumed_training_decides_anew_whether_its_optimizer_is_fused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "fit.pt"
    fit(gmc(), data(), config(steps=2, save_every=0.0), seed=0, state=state)
    content = torch.load(state, weights_only=True)
    assert content["optimizer"]["param_groups"][0]["fused"] is True
    content["optimizer"]["param_groups"][0]["fused"] = False  # as another device might have it
    torch.save(content, state)
    made: list[torch.optim.Optimizer] = []

    def build(*arguments: Any, **settings: Any) -> torch.optim.Optimizer:
        made.append(torch.optim.Adam(*arguments, **settings))
        return made[-1]

    monkeypatch.setitem(OPTIMIZERS, "adam", build)
    fit(gmc(), data(), config(steps=2), seed=0, state=state)
    assert [group["fused"] for group in made[0].param_groups] == [True]


class Preparing(GMC):
    """Its first five steps do not count."""

    preparing_steps = 5


def test_the_best_weights_are_kept_and_a_decline_stops_the_training() -> None:
    torch.manual_seed(0)
    method = Preparing(MODALITIES)
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def validate(step: int) -> float:
        assert not method.training
        seen[step] = {key: value.clone() for key, value in method.state_dict().items()}
        return {5: 0.9, 10: 0.2, 15: 0.5, 20: 0.5}.get(step, 0.4)

    settings = config(validate_every=5, patience=3)
    result = fit(method, data(), settings, seed=0, validate=validate)
    assert list(seen) == [10, 15, 20, 25, 30, 35]
    assert (result.steps, result.best_step, result.best_score) == (35, 20, 0.5)
    assert all(torch.equal(value, seen[20][key]) for key, value in method.state_dict().items())
    assert not torch.equal(seen[20]["head.0.weight"], seen[35]["head.0.weight"])


def test_the_last_step_is_validated_and_nan_is_never_best() -> None:
    scores = {4: 0.1, 8: float("nan"), 10: float("nan")}
    settings = config(steps=10, validate_every=4)
    result = fit(gmc(), data(), settings, seed=0, validate=scores.pop)
    assert scores == {}
    assert (result.steps, result.best_step) == (10, 4)
    assert fit(gmc(), data(), settings, seed=0).best_step is None


@pytest.mark.parametrize("killed_at", [12, 23, 31])
def test_early_stopping_survives_a_kill(tmp_path: Path, killed_at: int) -> None:
    scores = {5: 0.1, 10: 0.8, 15: 0.2, 20: 0.7}
    settings = config(validate_every=5, patience=4, save_every=0.0)

    def validate(step: int) -> float:
        return scores.get(step, 0.0)

    class Killed(BaseException):
        pass

    def kill(step: int, _: Mapping[str, float]) -> None:
        if step == killed_at:
            raise Killed

    whole, state = gmc(), tmp_path / "fit.pt"
    assert fit(whole, data(), settings, seed=0, validate=validate).steps == 30
    if killed_at < 30:
        with pytest.raises(Killed):
            fit(gmc(), data(), settings, seed=0, state=state, validate=validate, on_step=kill)
    else:
        fit(gmc(), data(), settings, seed=0, state=state, validate=validate)
    resumed = gmc()
    result = fit(resumed, data(), settings, seed=0, state=state, validate=validate)
    assert (result.steps, result.best_step, result.best_score) == (30, 10, 0.8)
    assert same_weights(whole, resumed)


def test_foreign_and_damaged_states_are_refused(tmp_path: Path) -> None:
    state = tmp_path / "fit.pt"
    fit(gmc(), data(), config(steps=2), seed=0, state=state)
    with pytest.raises(ValueError, match="state of another training"):
        fit(gmc(), data(), config(steps=3), seed=0, state=state)
    state.write_bytes(state.read_bytes()[:-200])
    with pytest.raises(ValueError, match="is damaged"):
        fit(gmc(), data(), config(steps=2), seed=0, state=state)


def test_an_exploding_loss_stops_the_training() -> None:
    with pytest.raises(FloatingPointError, match="at step 2: lower lr"):
        fit(gmc(), data(), config(optimizer="sgd", lr=1e30, schedule="constant"), seed=0)


def test_every_epoch_visits_each_sample_once() -> None:
    batches = list(sample_order(10, 5, seed=3, start=0, total=6))
    for epoch in range(3):
        visited = np.concatenate(batches[2 * epoch : 2 * epoch + 2])
        assert sorted(visited) == list(range(10))
    assert not np.array_equal(batches[0], batches[2])
    for a, b in zip(batches[3:], sample_order(10, 5, seed=3, start=3, total=6), strict=True):
        assert np.array_equal(a, b)


def test_gradients_are_clipped() -> None:
    free, clipped = gmc(), gmc()
    before = torch.cat([p.detach().flatten() for p in free.parameters()])
    for method, clip_norm in ((free, None), (clipped, 1e-3)):
        settings = config(
            steps=1, optimizer="sgd", lr=1.0, schedule="constant", clip_norm=clip_norm
        )
        fit(method, data(), settings, seed=0)
    moved = [
        float((torch.cat([p.detach().flatten() for p in m.parameters()]) - before).norm())
        for m in (free, clipped)
    ]
    assert moved[0] > 2e-3
    assert moved[1] == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 3}, "exactly one of steps and epochs"),
        ({"steps": None}, "exactly one of steps and epochs"),
        ({"steps": 0}, "must be positive"),
        ({"batch_size": 1}, "batch_size at least 2"),
        ({"optimizer": "newton"}, "optimizer is 'newton'; known"),
        ({"schedule": "weekly"}, "schedule is 'weekly'; known"),
        ({"warmup": 1.0}, "warmup must lie between 0 and 1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"validate_every": 0}, "validate_every and patience must be at least 1"),
        ({"patience": 0}, "validate_every and patience must be at least 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="200 samples do not fill a batch of 500"):
        fit(gmc(), data(), config(batch_size=500), seed=0)
    with pytest.raises(ValueError, match="the method sees"):
        fit(GMC(MODALITIES[:1]), data(), config(), seed=0)


def test_epochs_are_whole_batches() -> None:
    assert config(steps=None, epochs=500, batch_size=128).total_steps(18_000) == 70_000
    assert config(steps=7).total_steps(18_000) == 7
