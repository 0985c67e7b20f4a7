"""Supervised GMC and the predictor on a frozen encoder."""

import numpy as np
import pytest
import torch
from torch import nn

from mmrl.losses import nt_xent
from mmrl.methods import predictor_on
from mmrl.methods.downstream import Downstream, DownstreamConfig
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.methods.gmc.supervised import GMCSupervised, GMCSupervisedConfig
from mmrl.modality import Modality
from mmrl.testing import made_data, optimization


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("audio", "vision", "parts", "joint", "total"),
    [
        (74, 35, (119_940, 99_600, 96_090), 1_084_410, 1_411_081),
        (5, 20, (119_940, 93_390, 94_740), 1_081_890, 1_401_001),
    ],
)
def test_sizes_are_the_papers(
    audio: int, vision: int, parts: tuple[int, ...], joint: int, total: int
) -> None:
    widths = {"text": 300, "audio": audio, "vision": vision}
    modalities = [Modality(name, (50, width), "sequence") for name, width in widths.items()]
    model = GMCSupervised(modalities)
    assert tuple(size(model.unimodal[name]) for name in widths) == parts
    assert size(model.joint) == joint
    assert size(model) == total


MODALITIES = [Modality("text", (4, 3), "sequence"), Modality("near", (2,), "vector")]
SMALL = {"width": 4, "heads": 2, "layers": 1, "common_dim": 6, "latent_dim": 5, "outputs": 2}


def small(**settings: object) -> GMCSupervised:
    torch.manual_seed(0)
    return GMCSupervised(MODALITIES, GMCSupervisedConfig(**{**SMALL, **settings})).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("joint", ["transformer", "concat"])
def test_loss_is_contrastive_plus_absolute_error(joint: str) -> None:
    model = small(joint=joint)
    batch = made_data(MODALITIES, samples=8, task="regression", outputs=2).batch(np.arange(8))
    terms = model.losses(batch)
    z = model.encode(batch.values)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(8))
    assert batch.target is not None
    prediction = model.predict(batch.values)
    torch.testing.assert_close(terms["task"], (prediction - batch.target).abs().mean())
    for name in ("text", "near"):
        alone = model.encode({name: batch.values[name]})
        torch.testing.assert_close(terms[f"contrastive_{name}"], nt_xent(z, alone, 0.3))
    assert set(terms) == {"loss", "task", "contrastive_text", "contrastive_near"}


def test_incomplete_samples_teach_the_task_only() -> None:
    model = small(task="classification")
    batch = made_data(MODALITIES, samples=8, outputs=2).batch(np.arange(8))
    batch.available[:, 1] = False
    terms = model.losses(batch)
    assert set(terms) == {"loss", "task"}
    terms["loss"].backward()
    assert all(p.grad is None for p in model.joint.parameters())


def test_unknown_joint_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="joint is 'sum'; known: transformer, concat"):
        GMCSupervisedConfig(joint="sum")


def trained_gmc() -> GMC:
    torch.manual_seed(0)
    model = GMC(MODALITIES, GMCConfig(latent_dim=64, common_dim=8, head=(8,)))
    data = made_data(MODALITIES, samples=32)
    model.fit_inputs(data)
    return model.eval()


def test_predictor_of_the_papers_size_leaves_its_encoder_as_it_is() -> None:
    encoder = trained_gmc()
    model = predictor_on(encoder, outputs=10)
    assert model.representation is model.encoder
    assert encoder.representation is encoder
    assert [x.out_features for x in model.layers if isinstance(x, nn.Linear)] == [256, 128, 10]
    assert model.latent_dim == 64
    data = made_data(MODALITIES, samples=32, outputs=10)
    batch = data.batch(np.arange(32))
    before = encoder.encode(batch.values)
    with optimization(model, data):
        assert not model.encoder.training
        first = model.update(batch)["loss"]
        for _ in range(20):
            last = model.update(batch)["loss"]
    assert last < first
    torch.testing.assert_close(model.encode(batch.values), before)


def test_predictor_learns_from_complete_samples_only() -> None:
    model = Downstream.on(trained_gmc(), outputs=3, hidden=(4,))
    batch = made_data(MODALITIES, samples=8).batch(np.arange(8))
    batch.available[4:, 0] = False
    half = made_data(MODALITIES, samples=8).batch(np.arange(4))
    torch.testing.assert_close(model.losses(batch)["loss"], model.losses(half)["loss"])


def test_unknown_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"encoder is 'bert'; known: \['concat'"):
        Downstream(MODALITIES, DownstreamConfig(encoder="bert"))
