"""Plain data become typed dataclasses; what does not fit is named by its dotted key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mmrl.settings import ConfigError, typed


@dataclass(frozen=True)
class Camera:
    width: int
    gain: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be at least 1")


@dataclass(frozen=True)
class Robot:
    cameras: tuple[Camera, ...] = ()
    speeds: dict[str, float] = field(default_factory=dict)
    fast: bool = False
    extra: Any = None


def test_plain_data_become_what_the_annotations_say() -> None:
    made = typed(
        Robot,
        {"cameras": [{"width": 3, "gain": 2}, {"width": 4, "name": None}], "speeds": {"arm": 1}},
        "",
    )
    assert made == Robot((Camera(3, 2.0), Camera(4)), {"arm": 1.0})
    assert [type(camera.gain) for camera in made.cameras] == [float, float]
    assert typed(Robot, None, "robot") == Robot()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"camera": []}, r"unknown setting robot\.camera; known in robot: cameras, speeds, fast"),
        ({"cameras": [{}]}, r"robot\.cameras\[0\] needs width"),
        ({"cameras": [{"width": 0}]}, r"robot\.cameras\[0\]: width must be at least 1"),
        ({"cameras": [{"width": True}]}, r"cameras\[0\]\.width must be a whole number, got True"),
        ({"cameras": [{"width": 1, "name": 3}]}, r"\.name must be a text, got 3"),
        ({"cameras": 3}, r"robot\.cameras must be a list, got 3"),
        ({"speeds": {"arm": "quick"}}, r"robot\.speeds\.arm must be a number, got 'quick'"),
        ({"fast": 1}, r"robot\.fast must be true or false, got 1"),
        ([], r"robot must be a group of settings, got \[\]"),
    ],
)
def test_what_does_not_fit_is_named(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        typed(Robot, values, "robot")
