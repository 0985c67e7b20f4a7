"""The multimodal pendulum in closed form: motion, reward, sound and image as functions of arrays.

Angles are in radians, 0 is upright and counter-clockwise is positive; speeds are in radians per
second. Every function works on whole batches, so one environment and a thousand of them are the
same arithmetic and agree bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Real = TypeVar("Real", NDArray[np.float64], np.float64)  # a batch, or a single one

GRAVITY = 10.0
MASS = 1.0
LENGTH = 1.0
TIME_STEP = 0.05
MAX_SPEED = 8.0
SOURCE_FREQUENCY = 440.0
ROD_RADIUS = 0.1
VIEW_WIDTH = 2.64  # world units that the image spans: 60 pixels of 4.4 / 100 units
TABLE_BYTES = 16_000_000


def wrap_angle(theta: Real) -> Real:
    """Return the same angles within [-pi, pi)."""
    return (theta + math.pi) % (2 * math.pi) - math.pi


def move(
    theta: Real, theta_dot: Real, torque: Real, *, clip_first: bool
) -> tuple[Real, Real, Real]:
    """Advance by one time step of 0.05 s.

    Args:
        theta: Angles, any shape.
        theta_dot: Angular speeds, same shape.
        torque: Torques, already within the limit, same shape.
        clip_first: Clip the speed to [-8, 8] before the angle is integrated (Gymnasium's
            Pendulum-v1) instead of after (the paper's simulator, gym up to 0.19).

    Returns:
        New angles, new speeds and the rewards of the states that were left.
    """
    angle = wrap_angle(theta)
    reward = -(angle * angle + 0.1 * (theta_dot * theta_dot) + 0.001 * (torque * torque))
    gravity = -3 * GRAVITY / (2 * LENGTH) * np.sin(theta + math.pi)
    speed = theta_dot + (gravity + 3 / (MASS * LENGTH**2) * torque) * TIME_STEP
    clipped = np.minimum(np.maximum(speed, -MAX_SPEED), MAX_SPEED)
    return theta + TIME_STEP * (clipped if clip_first else speed), clipped, reward


def hear(theta: Floats, theta_dot: Floats, receivers: Floats, sound_speed: float) -> Floats:
    """Return what static receivers hear of a 440 Hz source at the rod's tip.

    The frequency follows the Doppler effect, the amplitude the inverse square law.

    Args:
        theta: Angles, shape (...).
        theta_dot: Angular speeds, shape (...).
        receivers: Positions as (height, left), shape (r, 2).
        sound_speed: Speed of sound in world units per second.

    Returns:
        (frequency in Hz, amplitude) per receiver, shape (..., r, 2).
    """
    height, left = np.cos(theta)[..., None], np.sin(theta)[..., None]
    to_height, to_left = receivers[:, 0] - height, receivers[:, 1] - left
    squared = to_height * to_height + to_left * to_left
    towards = theta_dot[..., None] * (height * to_left - left * to_height) / np.sqrt(squared)
    heard = np.empty((*squared.shape, 2))
    np.divide(SOURCE_FREQUENCY * sound_speed, sound_speed - towards, out=heard[..., 0])
    np.divide(1.0, squared, out=heard[..., 1])
    return heard


def sound_bounds(receivers: Floats, sound_speed: float) -> tuple[Floats, Floats]:
    """Return the least and the greatest (frequency, amplitude) that any receiver can hear."""
    distance = np.hypot(receivers[:, 0], receivers[:, 1])
    nominal = SOURCE_FREQUENCY * sound_speed
    low = np.array([nominal / (sound_speed + MAX_SPEED), 1 / (distance.max() + LENGTH) ** 2])
    high = np.array([nominal / (sound_speed - MAX_SPEED), 1 / (distance.min() - LENGTH) ** 2])
    return low, high


class FrameTable:
    """Black and white images of the rod, drawn exactly and without drawing.

    A pixel at distance r from the pivot is white while the rod's angle lies within an interval
    around the pixel's own direction; its half width is asin(w / r) beside the rod and
    acos((r^2 + 1 - w^2) / (2 r)) at the round tip, where w is the rod's radius. Sorted, the ends
    of all intervals cut the circle into arcs on which the image does not change. The table holds
    an image per arc (3,921 of them at 60 pixels) or, where that would take more than 16 MB, one of
    every few arcs and the pixels which flip in between. So a lookup gives the image that the
    definition gives, except when an angle lies within rounding (1e-12) of such an end.

    Use :func:`frame_table`, which shares tables.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size
        centre = (np.arange(image_size) + 0.5 - image_size / 2) * (VIEW_WIDTH / image_size)
        x, y = (grid.ravel() for grid in np.meshgrid(centre, -centre))
        radius = np.hypot(x, y)
        turning = np.flatnonzero((radius > ROD_RADIUS) & (radius <= LENGTH + ROD_RADIUS))
        direction = np.arctan2(-x[turning], y[turning])
        half_width = _half_width(radius[turning])
        frame = np.where(radius <= ROD_RADIUS, 255, 0).astype(np.uint8)
        frame[turning[np.abs(wrap_angle(-math.pi - direction)) <= half_width]] = 255

        ends = wrap_angle(np.concatenate([direction - half_width, direction + half_width]))
        order = np.argsort(ends, kind="stable")
        self._ends = ends[order]
        self._pixels = np.concatenate([turning, turning])[order]
        self._values = np.repeat(np.array([255, 0], np.uint8), len(turning))[order]
        self._spacing = math.ceil((len(ends) + 1) * image_size**2 / TABLE_BYTES)
        self._frames = np.empty((len(ends) // self._spacing + 1, image_size**2), np.uint8)
        for index, row in enumerate(self._frames):
            row[:] = frame
            flips = slice(index * self._spacing, (index + 1) * self._spacing)
            frame[self._pixels[flips]] = self._values[flips]

    def __reduce__(self) -> tuple[Callable[[int], FrameTable], tuple[int]]:
        """Pickle the recipe instead of megabytes."""
        return frame_table, (self.image_size,)

    def draw(self, theta: Floats) -> NDArray[np.uint8]:
        """Return new images with values in {0, 255}, shape (*theta.shape, size, size)."""
        arc = np.searchsorted(self._ends, wrap_angle(theta).ravel(), side="right")
        frames = np.take(self._frames, arc // self._spacing, axis=0)
        if self._spacing > 1:
            self._flip(frames, arc)
        return frames.reshape(*theta.shape, self.image_size, self.image_size)

    def _flip(self, frames: NDArray[np.uint8], arc: NDArray[np.int64]) -> None:
        """Turn the stored images into those of the arcs, pixel by pixel, in place."""
        flips = arc % self._spacing
        image = np.repeat(np.arange(len(arc)), flips)
        flip = np.arange(len(image)) + np.repeat(arc - np.cumsum(flips), flips)
        # A pixel may flip twice between two stored images: the last assignment stays.
        frames[image, self._pixels[flip]] = self._values[flip]


@lru_cache(maxsize=8)
def frame_table(image_size: int) -> FrameTable:
    """Return the one table for images of this size (at most 16 MB)."""
    return FrameTable(image_size)


def _half_width(radius: Floats) -> Floats:
    """Return how far the rod may point away from a pixel, in radians, and still cover it."""
    beside = np.arcsin(np.minimum(ROD_RADIUS / radius, 1.0))
    cosine = (radius**2 + LENGTH**2 - ROD_RADIUS**2) / (2 * LENGTH * radius)
    at_tip = np.arccos(np.clip(cosine, -1.0, 1.0))
    return np.where(radius**2 <= LENGTH**2 + ROD_RADIUS**2, beside, at_tip)
