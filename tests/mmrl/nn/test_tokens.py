"""Sequences of features, of whatever length, from any modality."""

import pytest
import torch

from mmrl.modality import Modality
from mmrl.nn.tokens import sequence_encoder

GAIT = Modality("gait", (9, 3), "sequence")


def test_a_sequence_is_convolved_and_pooled() -> None:
    encoder = sequence_encoder(GAIT, 4, 7, kernel=3, options=None)
    x = torch.randn(2, 9, 3)
    kernel = encoder.get_parameter("convolution.weight")
    expected = torch.stack(
        [torch.einsum("bkf,wfk->bw", x[:, t : t + 3], kernel) for t in range(7)], dim=2
    )
    torch.testing.assert_close(encoder(x), expected)
    pooled = sequence_encoder(GAIT, 4, 1, kernel=3, options=None)
    pooled.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(pooled(x), expected.mean(dim=2, keepdim=True))


def test_a_sequence_goes_through_an_encoder_that_has_options() -> None:
    encoder = sequence_encoder(GAIT, 4, 7, kernel=10, options={"hidden": 5})
    x = torch.randn(2, 9, 3)
    changed = x.clone()
    changed[:, 8] += 1  # every step of the result knows every step of the sequence
    assert encoder(x).shape == (2, 4, 7)
    assert bool((encoder(x) != encoder(changed)).all())


def test_what_is_no_sequence_goes_through_its_encoder() -> None:
    camera = Modality("camera", (1, 8, 8), "image")
    encoder = sequence_encoder(camera, 4, 6, kernel=3, options={"channels": (4,)})
    assert encoder(torch.rand(2, 1, 8, 8)).shape == (2, 4, 6)


def test_options_and_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gait: the sequence encoder has no option \['width'\]"):
        sequence_encoder(GAIT, 4, 7, kernel=3, options={"width": 5})
    with pytest.raises(ValueError, match="a kernel of 10 does not fit"):
        sequence_encoder(GAIT, 4, 7, kernel=10, options=None)
