"""The same warning of MuJoCo is told once."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mmrl_envs.mujoco import warnings as mujoco_warnings
from mmrl_envs.mujoco.warnings import warn_once

Handlers = list[Callable[[str], None]]


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Handlers:
    """What a stand-in for MuJoCo was told to call."""
    installed: Handlers = []
    stand_in = SimpleNamespace(
        get_mju_user_warning=lambda: installed[-1] if installed else None,
        set_mju_user_warning=installed.append,
    )
    monkeypatch.setitem(sys.modules, "mujoco", stand_in)
    monkeypatch.setattr(mujoco_warnings, "_SAID", set())
    return installed


def test_a_warning_is_logged_once(handlers: Handlers, caplog: pytest.LogCaptureFixture) -> None:
    warn_once()
    warn_once()
    (handler,) = handlers
    for message in ("old attribute", "old attribute", "unstable"):
        handler(message)
    assert [record.getMessage() for record in caplog.records] == [
        "MuJoCo: old attribute",
        "MuJoCo: unstable",
    ]


def test_the_handler_of_somebody_else_stays(handlers: Handlers) -> None:
    handlers.append(print)
    warn_once()
    assert handlers == [print]


def test_nothing_happens_without_mujoco(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mujoco", raising=False)
    warn_once()
    assert "mujoco" not in sys.modules
