import pytest
import torch
from torch import nn

from mmrl.modality import Modality
from mmrl.nn.encoders import build_encoder


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("kind", "shape", "features"),
    [
        ("image", (2, 60, 60), 14_400),
        ("image", (60, 60, 3), 14_400),
        ("image", (60, 60), 14_400),
        ("image", (1, 28, 28), 3_136),
        ("image", (3, 84, 84), 64 * 10 * 10),
        ("image", (3, 200, 120), 64 * 12 * 7),
        ("sound", (1, 32, 128), 2_048),
        ("sequence", (50, 74), 1_500),
        ("vector", (2, 3, 2), 50),
        ("vector", (200,), 512),
        ("label", (10,), 10),
    ],
)
def test_every_kind_has_an_encoder_of_known_width(
    kind: str, shape: tuple[int, ...], features: int
) -> None:
    encoder = build_encoder(Modality("x", shape, kind))
    assert encoder.features == features
    assert encoder(torch.rand(3, *shape)).shape == (3, features)


def test_channels_may_be_the_last_axis() -> None:
    torch.manual_seed(0)
    first = build_encoder(Modality("x", (3, 16, 16), "image"))
    last = build_encoder(Modality("x", (16, 16, 3), "image"))
    last.load_state_dict(first.state_dict())
    image = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(last(image.movedim(1, -1)), first(image))


def test_a_single_short_sound_can_be_learned_from() -> None:
    """Its last layers have one value per channel, of which there is no variance."""
    encoder = build_encoder(Modality("click", (1, 4, 8), "sound"))
    assert bool(torch.isfinite(encoder(torch.randn(1, 1, 4, 8))).all())
    encoder(torch.randn(1, 1, 4, 8)).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_options_override_the_default_and_the_kind() -> None:
    modality = Modality("spectrum", (1, 32, 128), "sound")
    assert build_encoder(modality, {"kind": "image", "channels": (8,)}).features == 8 * 16 * 64
    assert count(build_encoder(modality, {"kind": "vector", "hidden": (4,)})) == 4096 * 4 + 4


def test_bad_options_are_refused() -> None:
    modality = Modality("camera", (8, 8), "image")
    with pytest.raises(ValueError, match="camera: unknown encoder 'smell'; known"):
        build_encoder(modality, {"kind": "smell"})
    with pytest.raises(
        ValueError, match=r"image encoder has no option \['depth'\]; known: \['chan"
    ):
        build_encoder(modality, {"depth": 3})
    with pytest.raises(ValueError, match="'camera': 4 halvings do not fit"):
        build_encoder(modality, {"channels": (8, 8, 8, 8)})
    with pytest.raises(ValueError, match=r"a sequence is \(steps, features\)"):
        build_encoder(Modality("x", (3,), "sequence"))
