"""Lamps that show in a frame which sensors are up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UP, DOWN, LYING = 0, 1, 2
COLOURS = {UP: (64, 200, 110), DOWN: (226, 70, 62), LYING: (245, 176, 52)}
WORDS = {UP: "", DOWN: " missing", LYING: " faulty"}  # colours alone are not seen by everybody
BACKGROUND = (24, 26, 31)
TEXT = (214, 218, 226)


def lamp_states(available: NDArray[np.int8], faulty: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the state of every lamp: up, down, or faulty although it claims to be available."""
    return np.where(available == 0, DOWN, np.where(faulty, LYING, UP))


def with_lamps(frame: Any, names: Sequence[str], states: NDArray[np.int64]) -> Any:
    """Return the frame with a strip of lamps below it; what is no RGB array passes unchanged.

    Args:
        frame: RGB, uint8, shape (height, width, 3).
        names: One name per lamp.
        states: One state per lamp.
    """
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.dtype != np.uint8:
        return frame
    import cv2  # loads only where frames are drawn

    width = frame.shape[1]
    slot = width / len(names)
    height = int(np.clip(width // 16, 16, 40)) & ~1  # video codecs want even sizes
    strip = np.full((height, width, 3), BACKGROUND, np.uint8)
    radius = height // 4
    font = cv2.FONT_HERSHEY_SIMPLEX
    room = max(slot - 1.5 * height, 1)
    longest = max(cv2.getTextSize(name + WORDS[DOWN], font, 1.0, 1)[0][0] for name in names)
    scale = min(height / 64, room / longest)
    for index, (name, state) in enumerate(zip(names, states.tolist(), strict=True)):
        left = round(index * slot) + height // 2
        cv2.circle(strip, (left, height // 2), radius, COLOURS[state], cv2.FILLED, cv2.LINE_AA)
        origin = (left + 2 * radius, round(height / 2 + 10 * scale))
        cv2.putText(strip, name + WORDS[state], origin, font, scale, TEXT, 1, cv2.LINE_AA)
    return np.concatenate([frame, strip])
