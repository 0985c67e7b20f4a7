"""Images and waveforms of HyperHot, against the same drawn and summed one by one."""

from typing import Any

import numpy as np
import pytest

from mmrl_envs.hyperhot import senses
from mmrl_envs.hyperhot.game import NOWHERE, Game


@pytest.fixture(scope="module")
def played() -> Game:
    """Games in all kinds of positions."""
    count = 60
    rng = np.random.default_rng(3)
    state = Game(count, 450)
    state.restart(np.arange(count), [np.random.default_rng(i) for i in range(count)])
    for _ in range(40):
        state.step(rng.integers(0, 6, count))
    return state


def sources(state: Game, row: int) -> list[tuple[str, float, float]]:
    """Note and centre of everything that sounds."""
    found: list[Any] = []
    for index, note in enumerate(("do", "do", "mi", "mi")):
        if state.alive[row, index]:
            found.append((note, state.enemy_x[row, index], 40))
        if state.bullet_y[row, index] != NOWHERE:
            found.append(("sol", state.bullet_x[row, index], state.bullet_y[row, index]))
    if state.shot_y[row] != NOWHERE:
        found.append(("la#", state.shot_x[row], state.shot_y[row]))
    return found


def test_images_are_every_second_pixel_of_the_screen(played: Game) -> None:
    images = senses.draw_images(senses.see(played))
    assert images.dtype == np.uint8
    y, x = np.mgrid[:210, :160]
    for row, image in enumerate(images):
        ship = played.ship[row]
        screen = (x >= ship - 12) & (x < ship + 12) & (y >= 180) & (y < 188)
        for note, cx, cy in sources(played, row):
            radius = 8 if note in ("do", "mi") else 3
            screen |= (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
        np.testing.assert_array_equal(image, 255 * screen[::2, ::2][15:95])


def test_waves_are_the_sum_of_square_waves_that_fade(played: Game) -> None:
    waves = senses.play_waves(senses.hear(senses.see(played)))
    assert waves.dtype == np.float32
    frequencies = {"do": 261.63, "mi": 329.63, "sol": 392.0, "la#": 466.16}
    scaled = 0
    for row, heard in enumerate(waves):
        ship = played.ship[row]
        receivers = [(0, 210), (160, 210), (ship - 12, 184), (ship + 12, 184)]
        for (rx, ry), wave in zip(receivers, heard, strict=True):
            total = np.zeros(1047)
            for note, sx, sy in sources(played, row):
                period = round(44_100 / frequencies[note])
                sign = np.where(np.arange(1047) % period < period / 2, 1, -1)
                total += np.exp(-0.025 * np.hypot(sx - rx, sy - ry)) * sign
            if np.abs(total).max() > 1:
                total /= np.abs(total).max()
                scaled += 1
            np.testing.assert_allclose(wave, total, atol=0.51 / 32767)
            np.testing.assert_allclose(wave * 32767, np.rint(wave * 32767), atol=2e-3)
    assert scaled > 3


def test_what_is_not_there_is_neither_seen_nor_heard() -> None:
    state = Game(2, 450)
    state.restart(np.arange(2), [np.random.default_rng(0)] * 2)
    state.alive[:] = False
    centres = senses.see(state)
    assert (senses.play_waves(senses.hear(centres)) == 0).all()
    assert (senses.draw_images(centres) > 0).sum(axis=(1, 2)).tolist() == [48, 48]


def test_a_stack_of_frames_is_drawn_like_frames(played: Game) -> None:
    centres = senses.see(played)
    stack = np.stack([centres, centres[::-1]], axis=1)
    images = senses.draw_images(stack)
    np.testing.assert_array_equal(images[:, 0], senses.draw_images(centres))
    np.testing.assert_array_equal(images[:, 1], images[::-1, 0])
