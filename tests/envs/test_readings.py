"""One rule for what sensors hand over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from mmrl_envs.readings import reading

BYTES = spaces.Box(0, 255, (4, 5, 3), np.uint8)
FLOATS = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


@pytest.mark.parametrize(
    "value",
    [
        IMAGE[..., ::-1][..., ::-1],
        np.asfortranarray(IMAGE),
        IMAGE.astype(np.int64),
        IMAGE.astype(np.float32),
        IMAGE.tolist(),
        IMAGE[None],
    ],
)
def test_nothing_is_lost(value: Any) -> None:
    taken = reading("camera", value, BYTES)
    assert taken is not None
    np.testing.assert_array_equal(taken, IMAGE)
    assert taken.dtype == np.uint8
    assert taken.flags.c_contiguous
    assert not np.shares_memory(taken, IMAGE)


def test_an_array_of_its_own() -> None:
    taken = reading("camera", IMAGE, BYTES)
    assert taken is not None
    assert not np.shares_memory(taken, IMAGE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (IMAGE / 255, r"'camera' delivers uint8 \(images: 0 to 255\), got float64 .*255 \* image"),
        ((IMAGE > 9).astype(float), r"got float64 values from 0\.0 to 1\.0; convert"),
        (IMAGE - np.int64(1), r"got int64 values from -1 to 58"),
        (np.moveaxis(IMAGE, -1, 0), r"shape \(4, 5, 3\), got \(3, 4, 5\).*moveaxis\(image, 0, -1"),
        (IMAGE[0], r"'camera' has shape \(4, 5, 3\), got \(5, 3\)"),
        ([[1], [2, 3]], r"'camera' delivers numbers, got list"),
        ("dark", r"'camera' delivers numbers, got <U4"),
        (1j * IMAGE, r"'camera' delivers numbers, got complex"),
    ],
)
def test_what_cannot_be_taken_is_said(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reading("camera", value, BYTES)


def test_missing_is_nothing_or_not_finite() -> None:
    assert reading("camera", None, BYTES) is None
    assert reading("camera", np.where(IMAGE == 7, np.nan, IMAGE), BYTES) is None
    taken = reading("joints", [0.0, None, np.inf], FLOATS)
    np.testing.assert_array_equal(taken, np.array([0, np.nan, np.inf], np.float32))
    huge = reading("joints", [1e300, 0, 0], FLOATS)
    assert huge is not None
    assert np.isinf(huge[0])


def test_numbers_and_axes_of_one() -> None:
    assert reading("speed", 3, spaces.Box(0, 9, (1,), np.float32)) == np.array([3], np.float32)
    mode = reading("mode", 3, spaces.Discrete(5))
    assert mode is not None
    assert mode.shape == ()
    assert mode.dtype == np.int64
