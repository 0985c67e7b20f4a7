"""Short videos: MP4 where OpenCV can write it, else GIF."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from mmrl.files import write_atomically

PALETTE_FRAMES = 24
"""Frames that a palette is chosen by, from all parts of a video."""

Frames = Sequence[UInt8[np.ndarray, "height width 3"]]


def write_video(frames: Frames, stem: Path, *, fps: int) -> Path:
    """Writes frames as `<stem>.mp4`, or as `<stem>.gif` where there is no codec.

    Args:
        frames: RGB, all of one size.
        stem: Path without a suffix.
        fps: Frames per second.

    Returns:
        The path that was written.

    Raises:
        ValueError: There are no frames, or their sizes differ.
        OSError: The disk is full or the folder cannot be written.
    """
    if not frames or len({frame.shape for frame in frames}) > 1:
        sizes = sorted({frame.shape for frame in frames})
        raise ValueError(f"a video needs frames of one size, got {len(frames)} of sizes {sizes}")
    frames = [_even(frame) for frame in frames]
    content = _mp4(frames, fps)
    path = stem.with_suffix(".gif" if content is None else ".mp4")
    write_atomically(path, _gif(frames, fps) if content is None else content)
    return path


def outages(
    names: Sequence[str], *, up: int = 40, down: int = 40
) -> tuple[list[dict[str, Any]], int]:
    """A scripted episode: all sensors work, each one is gone for a while, all briefly, all work.

    Args:
        names: Names of the channels.
        up: Steps for which all work, in between.
        down: Steps for which one is gone; all are gone for a quarter as long.

    Returns:
        Fault specifications, and how many steps the script takes.

    Example:
        >>> outages(["image", "sound"], up=10, down=20)[0]
        [{'pattern': 'intervals', 'intervals': [[10, 30], [70, 75]], 'channels': ['image']},
         {'pattern': 'intervals', 'intervals': [[40, 60], [70, 75]], 'channels': ['sound']}]
    """
    own = names if len(names) > 1 else []
    end = up + len(own) * (up + down)
    everything = [end, end + max(1, down // 4)]
    alone = {name: up + i * (up + down) for i, name in enumerate(own)}
    faults: list[dict[str, Any]] = [
        {
            "pattern": "intervals",
            "intervals": [*([alone[n], alone[n] + down] for n in own if n == name), everything],
            "channels": [name],
        }
        for name in names
    ]
    return faults, everything[1] + up


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codecs want even sides: the last row or column is repeated."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _mp4(frames: Frames, fps: int) -> bytes | None:
    height, width = frames[0].shape[:2]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter.fourcc(*"mp4v"), float(fps), (width, height)
        )
        if not writer.isOpened():
            return None
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path.read_bytes() if path.exists() and path.stat().st_size else None


def _gif(frames: Frames, fps: int) -> bytes:
    """One palette for all frames: of its own, each would change the colours of what stays as is."""
    some = frames[:: -(-len(frames) // PALETTE_FRAMES)]
    palette = Image.fromarray(np.concatenate(some)).quantize(256)
    dither = Image.Dither.NONE
    images = [Image.fromarray(frame).quantize(palette=palette, dither=dither) for frame in frames]
    buffer = BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=1000 // fps, loop=0
    )
    return buffer.getvalue()
