from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from mmrl.modality import Batch, Modality, mark_missing

IMAGE = Modality("image", (1, 8, 8), "image")
SOUND = Modality("sound", (3,), "vector")


def test_space_is_read_in_its_order_without_the_mask() -> None:
    space = spaces.Dict(
        {
            "available": spaces.MultiBinary(3),
            "camera": spaces.Box(0, 255, (64, 64, 3), np.uint8),
            "joints": spaces.Box(-1, 1, (7,), np.float32),
            "touch": spaces.MultiBinary(4),
        }
    )
    found = Modality.from_space(space, kinds={"touch": "label"}, shared_scale=["joints"])
    assert found == (
        Modality("camera", (64, 64, 3), "image"),
        Modality("joints", (7,), "vector", shared_scale=True, limits=(-1.0, 1.0)),
        Modality("touch", (4,), "label"),
    )


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((60, 60), np.uint8, "image"),
        ((2, 60, 60), np.uint8, "image"),
        ((2, 3, 2), np.float32, "vector"),
        ((3, 60, 60), np.float32, "vector"),
        ((12,), np.uint8, "vector"),
    ],
)
def test_kind_follows_from_type_and_shape(
    shape: tuple[int, ...], dtype: type[np.generic], kind: str
) -> None:
    (modality,) = Modality.from_space(spaces.Dict({"x": spaces.Box(0, 1, shape, dtype)}))
    assert modality.kind == kind


def test_spaces_without_sensors_are_refused() -> None:
    with pytest.raises(TypeError, match="expected a Dict observation space"):
        Modality.from_space(spaces.Box(0, 1, (3,)))
    with pytest.raises(TypeError, match="channel 'a' is a Discrete space"):
        Modality.from_space(spaces.Dict({"a": spaces.Discrete(3)}))
    with pytest.raises(ValueError, match="no sensor channel"):
        Modality.from_space(spaces.Dict({"available": spaces.MultiBinary(1)}))
    with pytest.raises(ValueError, match=r"shared_scale names \['b'\], but the channels are"):
        Modality.from_space(spaces.Dict({"a": spaces.Box(0, 1, (3,))}), shared_scale=["b"])
    with pytest.raises(ValueError, match=r"kinds names \['b'\], but the channels are \['a'\]"):
        Modality.from_space(spaces.Dict({"a": spaces.Box(0, 1, (3,))}), {"b": "image"})


def test_malformed_modalities_are_refused() -> None:
    with pytest.raises(ValueError, match="kind 'smell'; known kinds: image"):
        Modality("x", (3,), "smell")
    for name in ("available", "imu.left", "a+b", "", "values", "training"):
        with pytest.raises(ValueError, match="cannot name a modality"):
            Modality(name, (3,), "vector")
    with pytest.raises(
        ValueError, match="'x': partial is 'drop'; a vector can have missing, fill,"
    ):
        Modality("x", (3,), "vector", partial="drop")
    with pytest.raises(ValueError, match=r"a label can have missing, fill$"):
        Modality("x", (3,), "label", partial="indicate")
    for limits in ((1.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="'x': limits must be finite and rise"):
            Modality("x", (3,), "vector", limits=limits)
    with pytest.raises(ValueError, match="shape of positive axes"):
        Modality("x", (3, 0), "vector")


NO = (torch.nan, torch.inf, -torch.inf, 3e38)
"""What stands for no reading."""


@pytest.mark.parametrize("none", NO)
def test_absent_none_and_what_has_no_number_are_missing(none: float) -> None:
    sound = torch.ones(4, 3)
    sound[1], sound[2, 2] = none, none
    values, available = mark_missing({"sound": sound, "image": None}, None, [IMAGE, SOUND])
    assert available.tolist() == [[False, True], [False, False], [False, True], [False, True]]
    assert values["sound"][[0, 1, 3]].tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert values["sound"][2].isnan().tolist() == [False, False, True]
    assert not values["image"].any()


@pytest.mark.parametrize("none", NO)
def test_partly_missing_readings_can_be_missing_as_a_whole(none: float) -> None:
    sound = torch.ones(2, 3)
    sound[1, 0] = none
    whole = Modality("sound", (3,), "vector", partial="missing")
    values, available = mark_missing({"sound": sound}, None, [whole])
    assert available.tolist() == [[True], [False]]
    assert values["sound"].tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32])
def test_numbers_out_of_the_sensors_limits_are_missing(dtype: torch.dtype) -> None:
    lidar = Modality("lidar", (2,), "vector", limits=(0.0, 30.0))
    beams = torch.tensor([[0, 30], [7, 65535], [-1, 65535]], dtype=dtype)
    values, available = mark_missing({"lidar": beams}, None, [lidar])
    assert available.squeeze(1).tolist() == [True, True, False]
    assert values["lidar"].isnan().tolist() == [[False, False], [False, True], [False, False]]


def test_limits_are_those_of_a_bounded_box() -> None:
    unbounded = spaces.Box(np.array([-1, -np.inf]), np.array([1, np.inf]), dtype=np.float64)
    space: dict[str, spaces.Space[Any]] = {
        "lidar": spaces.Box(0, 30, (24,), np.float32),
        "speed": unbounded,
        "image": spaces.Box(0, 255, (8, 8), np.uint8),
        "touch": spaces.MultiBinary(3),
    }
    found = Modality.from_space(spaces.Dict(space), partial={"lidar": "indicate"})
    assert {m.name: m.limits for m in found} == dict.fromkeys(space) | {"lidar": (0, 30)}
    assert {m.name: m.partial for m in found} == dict.fromkeys(space, "fill") | {
        "lidar": "indicate"
    }


@pytest.mark.parametrize(
    ("kind", "shape", "seen"),
    [
        ("vector", (7,), (14,)),
        ("sequence", (5, 3), (5, 6)),
        ("sound", (1, 8, 4), (2, 8, 4)),
        ("image", (8, 9), (2, 8, 9)),
        ("image", (3, 8, 9), (6, 8, 9)),
        ("image", (16, 16, 3), (16, 16, 6)),
    ],
)
def test_indicators_are_channels(kind: str, shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    assert Modality("x", shape, kind, partial="indicate").input_shape == seen
    assert Modality("x", shape, kind).input_shape == shape


def test_the_mask_silences_values_and_keeps_their_type() -> None:
    image = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    mask = torch.tensor([[False], [True]])
    values, available = mark_missing({"image": image}, mask, [IMAGE])
    assert values["image"].dtype == torch.uint8
    assert values["image"].flatten(1).sum(1).tolist() == [0, 64 * 255]
    assert torch.equal(available, mask)


def test_values_that_do_not_fit_are_refused() -> None:
    sound = torch.ones(4, 3)
    with pytest.raises(ValueError, match=r"unknown modalities \['smell'\]; known: \['sound'\]"):
        mark_missing({"smell": sound}, None, [SOUND])
    with pytest.raises(ValueError, match=r"'sound' has values of shape \(4, 2\), expected \(batch"):
        mark_missing({"sound": sound[:, :2]}, None, [SOUND])
    with pytest.raises(ValueError, match="no values at all"):
        mark_missing({"sound": None}, None, [SOUND])
    with pytest.raises(ValueError, match=r"available has shape \(4, 2\)"):
        mark_missing({"sound": sound}, torch.ones(4, 2, dtype=torch.bool), [SOUND])
    with pytest.raises(ValueError, match="differ in batch size"):
        mark_missing({"sound": sound, "image": torch.zeros(3, 1, 8, 8)}, None, [IMAGE, SOUND])


def test_batch_knows_its_length_and_moves() -> None:
    batch = Batch({"sound": torch.ones(4, 3)}, torch.ones(4, 1, dtype=torch.bool), torch.arange(4))
    moved = batch.to("cpu")
    assert len(moved) == 4
    assert moved.target is not None
    assert torch.equal(moved.target, torch.arange(4))
