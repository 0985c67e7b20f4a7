"""GMC whose joint encoder is the sum of the encoders of single modalities."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrl.losses import nt_xent
from mmrl.methods.gmc.fused import GMCFused, GMCFusedConfig
from mmrl.modality import Batch, Modality
from mmrl.testing import made_data

PAIR = [Modality("near", (2,), "vector"), Modality("far", (3,), "vector")]
TRIPLE = [*PAIR, Modality("other", (4,), "vector")]


def small(modalities: list[Modality], **settings: object) -> GMCFused:
    torch.manual_seed(0)
    config = {"latent_dim": 6, "common_dim": 5, "outputs": 3, **settings}
    return GMCFused(modalities, GMCFusedConfig(**config)).eval()  # type: ignore[arg-type]


def batch_of(modalities: list[Modality]) -> Batch:
    return made_data(modalities, samples=8, outputs=3).batch(np.arange(8))


def learns(module: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.abs().any()) for p in module.parameters())


def common(model: GMCFused, name: str, x: Tensor) -> Tensor:
    """What the base encoder of a modality hands to the shared head, without the shared bias."""
    i, width = model.names.index(name), model.config.common_dim
    block = model.join.weight[:, i * width : (i + 1) * width]
    return F.silu(model.features[name](x)) @ block.T


def test_joint_encoder_is_the_sum_of_the_base_encoders() -> None:
    model = small(TRIPLE)
    values = batch_of(TRIPLE).values
    for seen in (["near"], ["near", "other"], ["near", "far", "other"]):
        total = sum((common(model, name, values[name]) for name in seen), model.join.bias)
        expected = F.normalize(model.head(total), dim=1)
        torch.testing.assert_close(model.encode({name: values[name] for name in seen}), expected)


def test_each_view_learns_the_task_and_each_modality_is_aligned() -> None:
    model = small(PAIR, contrastive_weight=0.7, contrastive_temperature=0.2)
    batch = batch_of(PAIR)
    batch.available[5:, 1] = False
    assert batch.target is not None
    y, terms = batch.target, model.losses(batch)

    def seen(name: str, rows: slice) -> dict[str, Tensor]:
        return {name: batch.values[name][rows]}

    pairs = {name: x[:5] for name, x in batch.values.items()}
    expected = {
        "task": F.cross_entropy(model.predict(pairs), y[:5]),
        "task_near": F.cross_entropy(model.predict(seen("near", slice(8))), y),
        "task_far": F.cross_entropy(model.predict(seen("far", slice(5))), y[:5]),
    }
    for name in ("near", "far"):
        alone = model.encode(seen(name, slice(5)))
        expected[f"contrastive_{name}"] = 0.7 * nt_xent(model.encode(pairs), alone, 0.2)
    expected["loss"] = torch.stack(list(expected.values())).sum()
    torch.testing.assert_close(terms, expected)


def test_samples_that_lack_a_modality_train_what_the_joint_view_is_made_of() -> None:
    model = small(PAIR)
    batch = batch_of(PAIR)
    batch.available[:, 1] = False
    terms = model.losses(batch)
    terms["loss"].backward()
    torch.testing.assert_close(terms["loss"], terms["task_near"])
    assert all(learns(part) for part in (model.features["near"], model.join, model.head))
    assert not learns(model.features["far"])


def test_of_three_modalities_a_random_subset_learns_as_well() -> None:
    model = small(TRIPLE)
    batch = batch_of(TRIPLE)
    drawn = {float(model.losses(batch)["task_subset"].detach()) for _ in range(8)}
    assert len(drawn) > 1
    assert "task_subset" not in small(PAIR).losses(batch_of(PAIR))


@pytest.mark.parametrize("settings", [{"noise": 0.0}, {"dropout": 0.0}])
def test_only_training_perturbs_features(settings: dict[str, float]) -> None:
    model = small(PAIR, **settings)
    values = batch_of(PAIR).values
    torch.testing.assert_close(model.encode(values), model.encode(values))
    model.train()
    assert not torch.allclose(model.encode(values), model.encode(values))


@pytest.mark.parametrize(
    "settings", [{"dropout": 1.0}, {"dropout": -0.1}, {"noise": -1.0}, {"common_dim": 0}]
)
def test_values_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"common_dim must be at least 1, noise not negative"):
        GMCFusedConfig(**settings)  # type: ignore[arg-type]
