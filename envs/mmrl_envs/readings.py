"""What a sensor hands over as an array of its space: one rule for environments and for agents."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

NO_READING = 1e30
"""Numbers beyond are no measurements: drivers write the largest float for "no reading"."""


def reading(name: str, value: Any, space: spaces.Space[Any]) -> NDArray[Any] | None:
    """Return a new C-contiguous array of the space's shape and type.

    Lists, numbers, views of any strides and other types of numbers are taken where nothing is lost;
    axes of length one may be left out or added.

    Args:
        name: Name of the sensor, for messages.
        value: What it delivered.
        space: What it should deliver: a Box, or a space of integers.

    Returns:
        The array, which may hold NaN and infinity if the space is floating; None where the sensor
        is missing: it delivered None, or NaN or infinity as integers.

    Raises:
        ValueError: No numbers, another shape, or numbers that the type of the space cannot hold.

    Example:
        >>> reading("touch", [0, 1], spaces.Box(0.0, 1.0, (2,)))
        array([0., 1.], dtype=float32)
    """
    if value is None:
        return None
    array = _numbers(name, value)
    shape, dtype = space.shape or (), np.dtype(space.dtype)
    if array.shape != shape:
        array = _reshaped(name, array, shape)
    if array.dtype == dtype:
        return np.array(array, order="C")
    if dtype.kind not in "uib":
        with np.errstate(over="ignore"):  # too large for the type is infinite: missing
            return np.array(array, dtype, order="C")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return None
    with np.errstate(invalid="ignore"):
        converted = np.array(array, dtype, order="C")
    if not np.array_equal(converted, array) or _is_unit_image(array, dtype):
        raise ValueError(
            f"sensor {name!r} delivers {dtype} (images: 0 to 255), got {array.dtype} values from "
            f"{array.min()} to {array.max()}; convert it where it is read, an image in [0, 1] by "
            "(255 * image).round().astype('uint8')"
        )
    return converted


def _numbers(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
        if array.dtype == np.object_:
            array = array.astype(np.float64)  # None among numbers becomes NaN
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"sensor {name!r} delivers numbers, got {type(value).__name__} ({error})"
        ) from error
    if array.dtype.kind not in "fuib":
        raise ValueError(f"sensor {name!r} delivers numbers, got {array.dtype}")
    return array


def _reshaped(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    def long(sides: tuple[int, ...]) -> list[int]:
        return [side for side in sides if side != 1]

    if long(array.shape) == long(shape):
        return array.reshape(shape)
    mend = ""
    if array.ndim == len(shape) == 3:
        if array.shape == (*shape[1:], shape[0]):
            mend = "; its channels come first: numpy.moveaxis(image, -1, 0)"
        elif array.shape == (shape[2], *shape[:2]):
            mend = "; its channels come last: numpy.moveaxis(image, 0, -1)"
    raise ValueError(f"sensor {name!r} has shape {shape}, got {array.shape}{mend}")


def _is_unit_image(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether these may be pixels in [0, 1] that happen to be black and white."""
    floats = array.dtype.kind == "f" and dtype == np.uint8 and array.ndim >= 2
    return bool(floats and array.size and array.max() == 1)
