import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrl.data.arrays import ArrayData, Column
from mmrl.losses import nt_xent
from mmrl.methods.gmc.method import GMC, GMCConfig, random_subsets
from mmrl.modality import Batch, Modality
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

PENDULUM = (Modality("image", (2, 60, 60), "image"), Modality("sound", (2, 3, 2), "vector"))
MHD = (
    Modality("image", (1, 28, 28), "image"),
    Modality("sound", (1, 32, 128), "sound"),
    Modality("trajectory", (200,), "vector"),
    Modality("label", (10,), "label"),
)
MHD_CONFIG = GMCConfig(
    latent_dim=64,
    head=(512, 512),
    temperature=0.1,
    encoders={"image": {"channels": (64, 128)}},
)
SMALL = (
    Modality("image", (1, 8, 8), "image"),
    Modality("sound", (6,), "vector"),
    Modality("touch", (4,), "vector"),
)
SUBSETS = [s for s in itertools.product([False, True], repeat=3) if any(s)]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def observations(samples: int = 6, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 256, (samples, 1, 8, 8), generator=g, dtype=torch.uint8),
        "sound": torch.randn(samples, 6, generator=g),
        "touch": torch.randn(samples, 4, generator=g),
    }


def as_data(values: dict[str, Tensor]) -> ArrayData:
    return ArrayData({n: v.numpy() for n, v in values.items()}, small().modalities)


def complete(values: dict[str, Tensor]) -> Batch:
    first = next(iter(values.values()))
    return Batch(values, torch.ones(len(first), len(values), dtype=torch.bool))


def small(**settings: object) -> GMC:
    torch.manual_seed(0)
    return GMC(SMALL, replace(GMCConfig(radius=1.0), **settings)).eval()  # type: ignore[arg-type]


def test_parameter_counts_of_the_pendulum_are_the_papers() -> None:
    gmc = GMC(PENDULUM)
    assert count(gmc) == 1_933_386
    assert count(gmc.unimodal["image"]) == 955_456
    assert count(gmc.unimodal["sound"]) == 6_464
    assert count(gmc.joint) == 961_856
    assert count(gmc.head) == 9_610


def test_parameter_counts_of_mhd_are_the_papers() -> None:
    gmc = GMC(MHD, MHD_CONFIG)
    assert count(gmc) == 2_884_224
    assert [count(e) for e in gmc.unimodal.values()] == [533_568, 345_152, 398_400, 704]
    assert count(gmc.joint) == 1_277_632
    assert count(gmc.head) == 328_768


def test_loss_sums_one_term_per_modality() -> None:
    gmc, values = small(), observations()
    terms = gmc.losses(complete(values))
    joint = gmc.encode(values)
    expected = {
        name: nt_xent(joint, gmc.encode({name: value}), 0.3) for name, value in values.items()
    }
    for name, term in expected.items():
        torch.testing.assert_close(terms[f"contrastive_{name}"], term)
    torch.testing.assert_close(terms["loss"], torch.stack(list(expected.values())).sum())


def test_reconstruction_reads_vectors_off_every_representation() -> None:
    gmc, values = small(reconstruction_weight=2.0), observations()
    views = [gmc.encode(values), *(gmc.encode({name: x}) for name, x in values.items())]
    expected = 0.0
    for z in views:
        errors = []
        for name in ("sound", "touch"):
            read = gmc.read[name]
            assert isinstance(read, nn.Linear)
            errors.append((z @ read.weight.T + read.bias - values[name]).square())
        expected += 2.0 * float(torch.cat(errors, dim=1).mean().detach())
    terms = gmc.losses(complete(values))
    assert float(terms["reconstruction"].detach()) == pytest.approx(expected, rel=1e-5)
    plain = small().losses(complete(values))
    assert "reconstruction" not in plain
    assert set(terms) - set(plain) == {"reconstruction"}


def test_reconstruction_keeps_what_one_modality_alone_knows() -> None:
    """Sensors that share one number of five: alignment alone lets go of the others."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(600, 1))
    values: dict[str, Column] = {
        name: np.hstack([shared, rng.normal(size=(600, 4))]).astype(np.float32)
        for name in ("left", "right")
    }
    modalities = [Modality(name, (5,), "vector") for name in values]
    train = ArrayData(values, modalities)
    rest = {}
    for weight in (0.0, 10.0):
        torch.manual_seed(0)
        gmc = GMC(modalities, GMCConfig(latent_dim=16, reconstruction_weight=weight))
        fit(gmc, train, FitConfig(steps=400, lr=1e-2, accelerator="cpu"), seed=0)
        with torch.no_grad():
            z = gmc.encode(train.batch(np.arange(600)).values).double()
        z1 = torch.cat([z, torch.ones(600, 1).double()], dim=1)
        own = torch.from_numpy(np.hstack([values[name][:][:, 1:] for name in values])).double()
        left = own - z1 @ torch.linalg.lstsq(z1, own).solution
        rest[weight] = float(left.square().mean() / own.square().mean())
    assert rest[10.0] < 0.1
    assert rest[10.0] < 0.3 * rest[0.0]


def test_reconstruction_wants_a_vector() -> None:
    with pytest.raises(ValueError, match="wants a modality of kind vector"):
        GMC(SMALL[:1], GMCConfig(reconstruction_weight=1.0))
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        GMCConfig(reconstruction_weight=-1.0)


def test_the_radius_scales_what_policies_see_and_not_the_loss() -> None:
    unit, longer, values = small(), small(radius=3.0), observations()
    torch.testing.assert_close(longer.encode(values), 3 * unit.encode(values))
    loss = longer.losses(complete(values))["loss"]
    assert torch.equal(loss, unit.losses(complete(values))["loss"])


def test_joints_as_negatives_is_another_loss() -> None:
    values = observations()
    ablation = small(negatives="joints").losses(complete(values))["loss"]
    assert not torch.isclose(ablation, small().losses(complete(values))["loss"])


def test_representations_are_unit_vectors_and_subsets_their_mean() -> None:
    gmc, values = small(), observations()
    singles = {name: gmc.encode({name: value}) for name, value in values.items()}
    for z in (*singles.values(), gmc.encode(values)):
        torch.testing.assert_close(z.norm(dim=1), torch.ones(6))
    pair = gmc.encode({name: values[name] for name in ("sound", "touch")})
    torch.testing.assert_close(pair, (singles["sound"] + singles["touch"]) / 2)


@pytest.mark.parametrize("incomplete", ["average", "masked_joint", "average_all"])
def test_each_sample_of_a_mixed_batch_is_encoded_as_if_alone(incomplete: str) -> None:
    gmc, values = small(incomplete=incomplete), observations(len(SUBSETS) + 1)
    available = torch.tensor([*SUBSETS, (False, False, False)])
    mixed = gmc.encode(values, available)
    assert not mixed[-1].any()
    for i, subset in enumerate(SUBSETS):
        present = [name for name, there in zip(values, subset, strict=True) if there]
        alone = gmc.encode({name: values[name][i : i + 1] for name in present})
        torch.testing.assert_close(mixed[i : i + 1], alone)


def test_masked_joint_sees_pairs_and_learns_from_subsets() -> None:
    gmc, values = small(incomplete="masked_joint"), observations()
    assert "subsets" in gmc.losses(complete(values))
    pair = gmc.encode({name: values[name] for name in ("sound", "touch")})
    torch.testing.assert_close(pair.norm(dim=1), torch.ones(6))
    gmc.losses(complete(values))["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gmc.parameters())


def test_average_all_averages_complete_samples_too() -> None:
    gmc, values = small(incomplete="average_all"), observations()
    single = torch.stack([gmc.encode({name: values[name]}) for name in gmc.names])
    torch.testing.assert_close(gmc.encode(values), single.mean(dim=0))


def test_with_two_modalities_masked_joint_is_the_papers_network() -> None:
    assert count(GMC(PENDULUM, GMCConfig(incomplete="masked_joint"))) == 1_933_386


def test_random_subsets_have_every_size_between_two_and_all_but_one() -> None:
    torch.manual_seed(0)
    masks = random_subsets(500, 5, torch.device("cpu"))
    sizes = masks.sum(1).bincount(minlength=6)
    assert sizes[:2].sum() == 0
    assert sizes[5] == 0
    assert (sizes[2:5] > 100).all()
    assert (masks.float().mean(0) - 0.6).abs().max() < 0.1


def test_inputs_are_standardised_but_in_the_papers_variant() -> None:
    values = observations(200)
    values["sound"] = values["sound"] * 1e-3 + 5
    gmc = small()
    gmc.fit_inputs(as_data(values))
    scaled = gmc.scale(values)["sound"]
    torch.testing.assert_close(scaled.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)
    paper = small(standardize=False)
    paper.fit_inputs(as_data(values))
    assert torch.equal(paper.scale(values)["sound"], values["sound"])
    assert torch.equal(gmc.scale(values)["image"], values["image"].float() / 255)


def test_unavailable_samples_do_not_enter_the_scale() -> None:
    values = observations(50)
    gmc, clean = small(), small()
    clean.fit_inputs(as_data({n: v[10:] for n, v in values.items()}))
    values["sound"][:10] = torch.nan
    gmc.fit_inputs(as_data(values))
    torch.testing.assert_close(gmc.inputs["sound"].std, clean.inputs["sound"].std)


def test_incomplete_training_data_are_refused() -> None:
    batch = complete(observations())
    batch.available[2, 1] = False
    with pytest.raises(ValueError, match="learns from complete observations only"):
        small().losses(batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"latent_dim": 1}, "latent_dim must be at least 2"),
        ({"radius": 0.0}, "radius must be positive"),
        ({"negatives": "some"}, "negatives is 'some'; known"),
        ({"incomplete": "guess"}, "incomplete is 'guess'; known"),
        ({"encoders": {"smell": {}}}, r"encoders names \['smell'\]; the modalities are \['image'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**settings)


def test_modalities_must_differ() -> None:
    with pytest.raises(ValueError, match=r"at least one and differ in name, got \['image', 'im"):
        GMC([SMALL[0], SMALL[0]])


def test_update_without_a_training_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"train through mmrl\.training\.fit"):
        small().update(complete(observations()))


def test_head_is_shared_by_all_views() -> None:
    gmc, values = small(), observations()
    common = gmc.unimodal["sound"](gmc.scale(values)["sound"])
    expected = F.normalize(gmc.head(common), dim=1)
    torch.testing.assert_close(gmc.encode({"sound": values["sound"]}), expected)
