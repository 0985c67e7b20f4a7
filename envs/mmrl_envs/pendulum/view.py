"""Pictures of the multimodal pendulum for people: the image beside the sound levels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Frame = NDArray[np.uint8]

SIDE = 360
PANEL = 280
BACKGROUND = (24, 26, 31)
TRACK = (52, 56, 66)
TEXT = (214, 218, 226)
FAINT = (140, 146, 158)
PITCH = (86, 156, 235)
LOUDNESS = (240, 168, 72)


def draw_view(image: Frame, heard: Floats, levels: Floats, receivers: Floats) -> Frame:
    """Draw what is seen and heard.

    Args:
        image: The newest image, shape (size, size).
        heard: Frequency in Hz and amplitude per receiver, shape (r, 2).
        levels: Frequency and amplitude per receiver, each scaled to [0, 1], shape (r, 2).
        receivers: Positions as (height, left), shape (r, 2).

    Returns:
        An RGB frame, 360 pixels high (or more, for many receivers) and 640 wide.
    """
    spacing = max(64, (SIDE - 24) // len(receivers))
    height = max(SIDE, 24 + spacing * len(receivers))
    height += height % 2  # video codecs want even sizes
    frame: Frame = np.full((height, SIDE + PANEL, 3), BACKGROUND, np.uint8)
    seen = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    top = (height - SIDE) // 2
    frame[top : top + SIDE, :SIDE] = seen[..., None]
    for index, (hz, amplitude) in enumerate(heard):
        y = 20 + index * spacing
        place = _place(*receivers[index])
        _write(frame, f"microphone {index + 1}  {place}", (SIDE + 20, y + 10), TEXT)
        _bar(frame, y + 18, levels[index, 0], PITCH, f"{hz:.0f} Hz")
        _bar(frame, y + 36, levels[index, 1], LOUDNESS, f"amp {amplitude:.2f}")
    return frame


def _place(height: float, left: float) -> str:
    vertical = "top" if height > 0 else "bottom" if height < 0 else ""
    horizontal = "left" if left > 0 else "right" if left < 0 else ""
    return " ".join(filter(None, (vertical, horizontal)))


def _bar(frame: Frame, y: int, level: float, colour: tuple[int, int, int], label: str) -> None:
    left, right = SIDE + 20, SIDE + PANEL - 78
    cv2.rectangle(frame, (left, y), (right, y + 11), TRACK, cv2.FILLED)
    end = left + round(float(level) * (right - left))
    cv2.rectangle(frame, (left, y), (end, y + 11), colour, cv2.FILLED)
    _write(frame, label, (right + 10, y + 10), FAINT)


def _write(frame: Frame, text: str, origin: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(frame, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
