"""What is seen and heard of HyperHot.

A frame is kept small until it is wanted: where things are, and how loud each tone is. From these
its image and its sound are looked up.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmrl_envs.hyperhot import game
from mmrl_envs.hyperhot.game import Flags, Floats, Game, Integers

IMAGE_SIZE = 80
FIRST_ROW = 15  # of the rows of every second pixel
CANVAS_ROWS = 128  # every second row of the screen, and room below it for what is not there
HIDDEN_Y = 240

SAMPLES = 1_047  # at 44,100 per second
INT16_MAX = 32_767
DECAY = 0.025  # per pixel
RECEIVERS = 4
# Samples per period, for C4, E4, G4 and A sharp 4.
PERIODS: Final = {"do": 169, "mi": 134, "sol": 112, "la#": 95}
# The tone of everything that moves but the ship: four enemies, their bullets, the ship's bullet.
SOURCE_TONES: Final = np.array([0, 0, 1, 1, 2, 2, 2, 2, 3])

SPRITES = 1 + len(SOURCE_TONES)  # the ship first
LEVELS = 2 ** len(PERIODS)


def _shape(sprite: int, dx: Integers, dy: Integers) -> Flags:
    """Return which pixels, relative to its centre, a sprite covers: the ship's box or a disc."""
    if sprite == 0:
        width, height = game.SHIP_SIZE
        inside: Flags = (2 * dx >= -width) & (2 * dx < width)
        return inside & (2 * dy >= -height) & (2 * dy < height)
    radius = game.ENEMY_RADIUS if sprite <= game.ENEMIES else game.BULLET_RADIUS
    disc: Flags = dx**2 + dy**2 <= radius**2
    return disc


def _pixels() -> tuple[Integers, Integers]:
    """Return the pixels of all sprites in the image of every second pixel.

    Centres have even rows; in even and odd columns other pixels are seen of a sprite.

    Returns:
        The sprite of each pixel, (pixels,), and its offset on the canvas, (2, pixels).
    """
    rows, columns = np.indices((17, 17)) - 8
    owners, offsets = [], []
    for sprite in range(SPRITES):
        seen = [_shape(sprite, 2 * columns - odd, 2 * rows) for odd in (0, 1)]
        flat = [rows[mask] * IMAGE_SIZE + columns[mask] for mask in seen]
        count = max(map(len, flat))
        offsets.append([np.pad(part, (0, count - len(part)), mode="edge") for part in flat])
        owners.append(np.full(count, sprite))
    return np.concatenate(owners), np.concatenate(offsets, axis=1)


PIXEL_SPRITE, PIXEL_OFFSET = _pixels()

# A sample is a sum of tones with signs: one of 16 levels, and which one is the same in every frame.
_BITS: Final = np.arange(len(PERIODS))[:, None]
_PERIODS: Final = np.array(list(PERIODS.values()))[:, None]
SIGNS: Final = 1 - 2 * (np.arange(LEVELS) >> _BITS & 1)
PATTERN: Final = ((2 * (np.arange(SAMPLES) % _PERIODS) >= _PERIODS) << _BITS).sum(axis=0)


def see(state: Game) -> Integers:
    """Return the centres (x, y) of all sprites, (count, 2, 10); what is not there is hidden."""
    centres = np.empty((len(state.ship), 2, SPRITES), np.int64)
    x, y = centres[:, 0], centres[:, 1]
    x[:, 0], y[:, 0] = state.ship, game.SHIP_Y
    x[:, 1:5], y[:, 1:5] = state.enemy_x, np.where(state.alive, game.ENEMY_Y, HIDDEN_Y)
    x[:, 5:9], y[:, 5:9] = state.bullet_x, state.bullet_y
    x[:, 9], y[:, 9] = state.shot_x, state.shot_y
    y[y == game.NOWHERE] = HIDDEN_Y
    return centres


def hear(centres: Integers) -> NDArray[np.float32]:
    """Return the 16 levels of every receiver's wave, within [-1, 1], (count, receivers, 16).

    A source at distance r pixels has the amplitude exp(-0.025 r). Where a receiver's wave would
    leave [-1, 1], it is scaled down to fit as a whole. Levels are those of 16-bit samples.
    """
    sources = centres[:, :, 1:].astype(np.float64)
    receivers = _receivers(centres[:, 0, 0])
    dx, dy = (receivers[:, axis, :, None] - sources[:, axis, None, :] for axis in (0, 1))
    amplitude = np.exp(-DECAY * np.sqrt(dx * dx + dy * dy))
    amplitude *= sources[:, 1, None] != HIDDEN_Y
    tones = amplitude @ (SOURCE_TONES[:, None] == np.arange(len(PERIODS))).astype(np.float64)
    peak = tones.sum(axis=-1, keepdims=True)  # all waves begin with +1
    levels: Floats = np.rint(tones @ SIGNS * (INT16_MAX / np.maximum(peak, 1.0))) / INT16_MAX
    return levels.astype(np.float32)


def draw_images(centres: Integers) -> NDArray[np.uint8]:
    """Return images of 0 and 255, (..., 80, 80), for centres (..., 2, 10)."""
    lead = centres.shape[:-2]
    flat = centres.reshape(-1, 2, SPRITES)
    size = CANVAS_ROWS * IMAGE_SIZE
    x, y = flat[:, 0], flat[:, 1]
    first = y // 2 * IMAGE_SIZE + x // 2 + size * np.arange(len(flat))[:, None]
    odd = (x & 1)[:, PIXEL_SPRITE] == 1
    canvas = np.zeros(len(flat) * size, np.uint8)
    canvas[first[:, PIXEL_SPRITE] + np.where(odd, PIXEL_OFFSET[1], PIXEL_OFFSET[0])] = 255
    rows = canvas.reshape(*lead, CANVAS_ROWS, IMAGE_SIZE)
    return rows[..., FIRST_ROW : FIRST_ROW + IMAGE_SIZE, :].copy()


def play_waves(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return waveforms, (..., 1047), for levels (..., 16)."""
    waves: NDArray[Any] = levels.take(PATTERN, axis=-1)
    return waves


def _receivers(ship: Integers) -> Floats:
    """Return (x, y) of the screen's lower corners and the ship's sides, (count, 2, 4)."""
    receivers = np.empty((len(ship), 2, RECEIVERS))
    receivers[:, 0, 0], receivers[:, 0, 1], receivers[:, 1, :2] = 0, game.WIDTH, game.HEIGHT
    half = game.SHIP_SIZE[0] // 2
    receivers[:, 0, 2], receivers[:, 0, 3] = ship - half, ship + half
    receivers[:, 1, 2:] = game.SHIP_Y
    return receivers
