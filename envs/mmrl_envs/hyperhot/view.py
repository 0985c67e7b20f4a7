"""Pictures of HyperHot for people: the screen in colours beside how loud it is where."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mmrl_envs.hyperhot import game
from mmrl_envs.hyperhot.game import Game

SCALE = 2
PANEL = 120
BACKGROUND = (24, 26, 31)
SCREEN = (12, 13, 16)
SHIP, SHOT = (96, 200, 120), (210, 240, 200)
ENEMIES = ((235, 96, 86), (235, 96, 86), (235, 140, 60), (235, 140, 60))
BULLET = (250, 215, 110)
TRACK, BAR, TEXT = (52, 56, 66), (86, 156, 235), (214, 218, 226)
RECEIVERS = ("lower left", "lower right", "ship, left", "ship, right")


def draw_view(state: Game, row: int, levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an RGB frame of 420 x 560 pixels.

    Args:
        state: The games.
        row: Which of them.
        levels: What is heard in it, (receivers, levels).
    """
    shape = (game.HEIGHT * SCALE, (game.WIDTH + PANEL) * SCALE, 3)
    frame: NDArray[np.uint8] = np.full(shape, BACKGROUND, np.uint8)
    frame[:, : game.WIDTH * SCALE] = SCREEN
    enemies = zip(state.enemy_x[row].tolist(), state.alive[row], ENEMIES, strict=True)
    for x, alive, colour in enemies:
        if alive:
            _disc(frame, x, game.ENEMY_Y, game.ENEMY_RADIUS, colour)
    bullets_x = [*state.bullet_x[row].tolist(), int(state.shot_x[row])]
    bullets_y = [*state.bullet_y[row].tolist(), int(state.shot_y[row])]
    colours = (*[BULLET] * game.ENEMIES, SHOT)
    for x, y, colour in zip(bullets_x, bullets_y, colours, strict=True):
        if y != game.NOWHERE:
            _disc(frame, x, y, game.BULLET_RADIUS, colour)
    half_width, half_height = (SCALE * side // 2 for side in game.SHIP_SIZE)
    x, y = SCALE * int(state.ship[row]), SCALE * game.SHIP_Y
    frame[y - half_height : y + half_height, x - half_width : x + half_width] = SHIP
    for index, (name, heard) in enumerate(zip(RECEIVERS, levels, strict=True)):
        _bar(frame, index, name, float(np.sqrt(np.mean(heard**2))))
    return frame


def _disc(
    frame: NDArray[np.uint8], x: int, y: int, radius: int, colour: tuple[int, int, int]
) -> None:
    cv2.circle(frame, (SCALE * x, SCALE * y), SCALE * radius, colour, cv2.FILLED, cv2.LINE_AA)


def _bar(frame: NDArray[np.uint8], index: int, name: str, loudness: float) -> None:
    left, right = game.WIDTH * SCALE + 20, frame.shape[1] - 20
    top = 40 + 95 * index
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(frame, name, (left, top), font, 0.5, TEXT, 1, cv2.LINE_AA)
    cv2.rectangle(frame, (left, top + 12), (right, top + 24), TRACK, cv2.FILLED)
    end = left + round(loudness * (right - left))
    cv2.rectangle(frame, (left, top + 12), (end, top + 24), BAR, cv2.FILLED)
