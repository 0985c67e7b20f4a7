"""What each reference does with what is missing."""

import numpy as np
import pytest
import torch

from mmrl.data import ArrayData
from mmrl.methods.fusion_baselines import (
    ConcatFusion,
    LateFusion,
    MeanFilling,
    ModalityDropout,
    ModalityDropoutConfig,
    SumFusion,
    Unimodal,
    UnimodalConfig,
    ZeroFilling,
)
from mmrl.methods.supervised import SupervisedConfig
from mmrl.modality import Modality
from mmrl.nn.subsets import hide
from mmrl.testing import made_data, optimization

A, B = Modality("a", (2,), "vector"), Modality("b", (3,), "vector")
CONFIG = SupervisedConfig(latent_dim=4, outputs=3)
VALUES = {"a": torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), "b": torch.ones(5, 3)}


def test_unimodal_sees_its_modality_only() -> None:
    model = Unimodal([A, B], UnimodalConfig(latent_dim=4, outputs=3, modality="b"))
    both = model.predict(VALUES)
    assert torch.equal(both, model.predict({"b": VALUES["b"]}))
    without = model.encode({"a": VALUES["a"]})
    assert not bool(without.any())


def test_unimodal_wants_a_modality_that_exists() -> None:
    with pytest.raises(ValueError, match=r"modality is 'c'; the modalities are \['a', 'b'\]"):
        Unimodal([A, B], UnimodalConfig(modality="c"))


def test_late_fusion_averages_probabilities_of_what_is_there() -> None:
    model = LateFusion([A, B], CONFIG).double()
    values = {name: x.double() for name, x in VALUES.items()}
    alone = [model.predict({name: values[name]}).softmax(1).detach().numpy() for name in ("a", "b")]
    fused = model.predict(values).softmax(1).detach().numpy()
    np.testing.assert_allclose(fused, (alone[0] + alone[1]) / 2, rtol=1e-10)


def test_late_fusion_averages_probabilities_of_every_label() -> None:
    config = SupervisedConfig(latent_dim=4, outputs=3, task="labels")
    model = LateFusion([A, B], config).double()
    values = {name: x.double() for name, x in VALUES.items()}
    alone = [model.predict({name: values[name]}).sigmoid() for name in ("a", "b")]
    torch.testing.assert_close(model.predict(values).sigmoid(), (alone[0] + alone[1]) / 2)


def test_late_fusion_averages_targets_in_regression() -> None:
    model = LateFusion([A, B], SupervisedConfig(latent_dim=4, outputs=2, task="regression"))
    alone = [model.predict({name: VALUES[name]}) for name in ("a", "b")]
    torch.testing.assert_close(model.predict(VALUES), (alone[0] + alone[1]) / 2)


def test_late_fusion_trains_modalities_apart() -> None:
    model = LateFusion([A, B], CONFIG)
    data = made_data([A, B], samples=8)
    model.losses(data.batch(np.arange(8)))["task_a"].backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None}
    assert touched
    assert all(".a." in name for name in touched)


def test_sum_adds_features() -> None:
    model = SumFusion([A, B], CONFIG)
    features = [model.encoders[name](VALUES[name]) for name in ("a", "b")]
    expected = torch.nn.functional.silu(features[0] + features[1])
    torch.testing.assert_close(model.encode(VALUES), expected)


def test_concatenation_puts_zero_features_for_what_is_missing() -> None:
    model = ConcatFusion([A, B], CONFIG)
    feature = torch.nn.functional.silu(model.encoders["a"](VALUES["a"]))
    joined = model.join.map(torch.cat([feature, torch.zeros(5, 4)], dim=1))
    expected = torch.nn.functional.silu(joined)
    torch.testing.assert_close(model.encode({"a": VALUES["a"]}), expected)


def test_zero_filling_reads_raw_zeros() -> None:
    model = ZeroFilling([A, B], CONFIG)
    values = {"a": VALUES["a"].numpy(), "b": 3 + np.random.default_rng(0).random((5, 3))}
    model.fit_inputs(ArrayData(values, [A, B]))
    filled = model.encode({"a": VALUES["a"], "b": torch.zeros(5, 3)})
    torch.testing.assert_close(model.encode({"a": VALUES["a"]}), filled)


def test_mean_filling_reads_the_mean_of_what_it_was_trained_on() -> None:
    image = Modality("image", (8, 8), "image")
    data = made_data([image, A], samples=40, missing=0.5)
    torch.manual_seed(0)
    model = MeanFilling([image, A], CONFIG)
    with optimization(model, data):
        for start in (0, 20):
            model.update(data.batch(np.arange(start, start + 20)))
    for i, name in enumerate(("image", "a")):
        seen = data.values[name][:][data.available[:, i]].astype(np.float64)
        expected = seen.mean(0) / (255 if name == "image" else 1)
        np.testing.assert_allclose(model.get_buffer(f"mean_{i}").numpy(), expected, rtol=1e-4)
    readings = torch.as_tensor(data.values["a"][:])
    mean = model.get_buffer("mean_0").expand(40, 8, 8)
    filled = model.join([model.encoders["image"](mean), model.encoders["a"](readings)])
    torch.testing.assert_close(model.encode({"a": readings}), filled)


def test_modality_dropout_hides_in_training_only() -> None:
    data = made_data([A, B], samples=16)
    torch.manual_seed(0)
    model = ModalityDropout([A, B], ModalityDropoutConfig(latent_dim=4, outputs=3, drop_rate=0.9))
    batch = data.batch(np.arange(16))
    model.eval()
    assert model.losses(batch)["loss"].item() == model.losses(batch)["loss"].item()
    model.train()
    assert model.losses(batch)["loss"].item() != model.losses(batch)["loss"].item()


def test_hiding_keeps_one_and_never_uncovers() -> None:
    torch.manual_seed(0)
    available = torch.rand(4000, 3) < 0.7
    kept = hide(available, 0.5)
    assert not bool((kept & ~available).any())
    assert torch.equal(kept.any(dim=1), available.any(dim=1))
    single = available.sum(dim=1) == 1
    assert torch.equal(kept[single], available[single])
    # Of two, one stays for certain; both do if neither draw is below the rate.
    pairs = kept[available.sum(dim=1) == 2].sum(dim=1)
    assert float((pairs == 2).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(hide(available, 0.0), available)


def test_drop_rate_is_checked() -> None:
    with pytest.raises(ValueError, match=r"drop_rate must be in \[0, 1\), got 1"):
        ModalityDropoutConfig(drop_rate=1.0)
