"""Videos: written whole, in a format that is there."""

import errno
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import mmrl.report.video
from mmrl.report.video import outages, write_video

FRAMES = [np.full((41, 61, 3), 20 * i, np.uint8) for i in range(10)]


def test_mp4_has_every_frame(tmp_path: Path) -> None:
    path = write_video(FRAMES, tmp_path / "film", fps=20)
    assert path.suffix == ".mp4"
    video = cv2.VideoCapture(str(path))
    shown = [frame for ok, frame in iter(video.read, (False, None)) if ok]
    assert len(shown) == len(FRAMES)
    assert shown[5].mean() == pytest.approx(100, abs=5)


def test_gif_where_there_is_no_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmrl.report.video, "_mp4", lambda frames, fps: None)
    path = write_video(FRAMES, tmp_path / "film", fps=20)
    assert path.suffix == ".gif"
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == len(FRAMES)


def test_colours_stay_what_they_are_in_a_gif(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lamp has the same red in every frame, whatever else the frame shows."""
    monkeypatch.setattr(mmrl.report.video, "_mp4", lambda frames, fps: None)
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 60, 3), np.uint8)
    frames = [frame // (1 + i % 5) for i, frame in enumerate(noise)]
    green, red = (64, 200, 110), (226, 70, 62)
    for i, frame in enumerate(frames):
        frame[30:, :30] = green
        frame[30:, 30:] = red if 10 <= i < 20 else green
    path = write_video(frames, tmp_path / "film", fps=20)
    with Image.open(path) as film:
        for i in range(30):
            film.seek(i)
            shown = np.asarray(film.convert("RGB")).astype(int)
            np.testing.assert_allclose(shown[35, 15], green, atol=12)
            np.testing.assert_allclose(shown[35, 45], red if 10 <= i < 20 else green, atol=12)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mmrl.report.video, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        write_video(FRAMES, tmp_path / "film", fps=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [[], [FRAMES[0], FRAMES[0][:20]]])
def test_frames_must_be_of_one_size(tmp_path: Path, frames: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="a video needs frames of one size"):
        write_video(frames, tmp_path / "film", fps=20)


def test_the_script_takes_every_sensor_and_gives_it_back() -> None:
    faults, steps = outages(["a", "b", "c"], up=4, down=8)
    gone = np.zeros((steps, 3), bool)
    for i, fault in enumerate(faults):
        for start, stop in fault["intervals"]:
            gone[start:stop, i] = True
    assert {tuple(row) for row in gone.tolist()} == {
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, True, True),
    }
    assert not gone[0].any()
    assert not gone[-1].any()


def test_the_script_for_one_sensor() -> None:
    faults, steps = outages(["a"], up=4, down=8)
    assert faults[0]["intervals"] == [[4, 6]]
    assert steps == 10
