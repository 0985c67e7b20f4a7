"""The pendulum's closed form against its definition."""

import math
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrl_envs.pendulum import model

RECEIVERS = np.array([[-2.2, 2.2], [-2.2, -2.2], [2.2, 0.0]])


def draw_by_definition(theta: float, size: int) -> NDArray[np.uint8]:
    """Distance of every pixel's centre to the rod; 60 pixels are the middle of 100 over 4.4."""
    scale = 100 / 4.4 * size / 60
    x = (np.arange(size)[None, :] + 0.5 - size / 2) / scale
    y = (size / 2 - np.arange(size)[:, None] - 0.5) / scale
    rod = -math.sin(theta), math.cos(theta)
    t = np.clip(x * rod[0] + y * rod[1], 0, 1)
    distance = np.hypot(x - t * rod[0], y - t * rod[1])
    return np.where(distance <= 0.1, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(("size", "angles"), [(60, 2000), (33, 500), (130, 150)])
def test_frames_equal_the_definition(size: int, angles: int) -> None:
    theta = np.random.default_rng(size).uniform(-20, 20, angles)
    frames = model.frame_table(size).draw(theta)
    assert frames.dtype == np.uint8
    for angle, frame in zip(theta, frames, strict=True):
        np.testing.assert_array_equal(frame, draw_by_definition(angle, size), err_msg=f"{angle}")


def test_large_images_flip_pixels_between_stored_frames() -> None:
    few, many = model.FrameTable(60), model.FrameTable(130)
    assert few._spacing == 1
    assert many._spacing > 1
    assert many._frames.nbytes <= model.TABLE_BYTES


def test_frames_have_the_published_share_of_white_pixels() -> None:
    frames = model.frame_table(60).draw(np.linspace(-math.pi, math.pi, 4000, endpoint=False))
    white = (frames == 255).sum(axis=(1, 2))
    assert (white.min(), white.max()) == (106, 128)
    assert frames.mean() / 255 == pytest.approx(0.0331, abs=2e-4)


def test_upright_frame_points_up_and_positive_angles_lean_left() -> None:
    upright, left = model.frame_table(60).draw(np.array([0.0, math.pi / 2]))
    assert upright[10, 30] == 255
    assert upright[50, 30] == 0
    assert left[30, 10] == 255
    assert left[30, 50] == 0


def test_drawn_frames_are_fresh_arrays() -> None:
    table = model.frame_table(60)
    table.draw(np.zeros(1))[:] = 7
    assert set(np.unique(table.draw(np.zeros(1)))) == {0, 255}


def test_tables_are_shared_and_pickled_as_recipes() -> None:
    table = model.frame_table(60)
    dump = pickle.dumps(table)
    assert len(dump) < 200
    assert pickle.loads(dump) is table  # noqa: S301


def test_move_follows_the_equations() -> None:
    theta, speed, torque = 0.5, -1.0, 1.5
    new_speed = speed + (-15 * math.sin(theta + math.pi) + 3 * torque) * 0.05
    moved = model.move(np.array(theta), np.array(speed), np.array(torque), clip_first=False)
    np.testing.assert_allclose(
        moved,
        (theta + 0.05 * new_speed, new_speed, -(0.25 + 0.1 + 0.001 * 2.25)),
        rtol=1e-14,
    )


def test_orders_of_dynamics_differ_only_where_the_speed_is_clipped() -> None:
    theta, speed, torque = np.array([1.5, 1.5]), np.array([1.0, 7.9]), np.array([2.0, 2.0])
    paper = model.move(theta, speed, torque, clip_first=False)
    gymnasium = model.move(theta, speed, torque, clip_first=True)
    assert paper[0][0] == gymnasium[0][0]
    assert paper[0][1] > gymnasium[0][1] == pytest.approx(1.5 + 0.05 * 8)
    np.testing.assert_array_equal(paper[1], gymnasium[1])
    assert paper[1][1] == 8.0


@pytest.mark.parametrize("turns", [-3, 0, 2])
def test_reward_counts_the_wrapped_angle(turns: int) -> None:
    theta = np.array(-0.3 + 2 * math.pi * turns)
    reward = model.move(theta, np.array(0.0), np.array(0.0), clip_first=False)[2]
    assert reward == pytest.approx(-0.09)


def test_still_source_sounds_at_its_own_pitch_with_inverse_square_loudness() -> None:
    heard = model.hear(np.array([0.0]), np.array([0.0]), RECEIVERS, 20.0)[0]
    np.testing.assert_allclose(heard[:, 0], 440.0)
    np.testing.assert_allclose(heard[:, 1], [1 / (3.2**2 + 2.2**2)] * 2 + [1 / 1.2**2])


def test_doppler_shift_of_a_source_that_flies_at_a_receiver() -> None:
    # At the right (angle -pi/2), turning positively, the tip moves straight up.
    receiver = np.array([[3.0, -1.0]])
    heard = model.hear(np.array(-math.pi / 2), np.array(4.0), receiver, 20.0)[0]
    assert heard[0] == pytest.approx(440 * 20 / 16)
    assert heard[1] == pytest.approx(1 / 9)


def test_sound_bounds_are_the_published_constants_and_hold() -> None:
    low, high = model.sound_bounds(RECEIVERS, 20.0)
    np.testing.assert_allclose(low, [314.285714, 0.059163], rtol=1e-5)
    np.testing.assert_allclose(high, [733.333333, 0.694444], rtol=1e-5)
    rng = np.random.default_rng(0)
    heard = model.hear(rng.uniform(-4, 4, 5000), rng.uniform(-8, 8, 5000), RECEIVERS, 20.0)
    assert np.all(heard >= low)
    assert np.all(heard <= high)
