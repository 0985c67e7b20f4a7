"""Whoever is told to end, ends."""

import os
import signal
import subprocess
import sys

import pytest

from mmrl.runs.signals import TerminatedError, ending_when_told, exit_code

SWALLOWED = """
import os, signal
from mmrl.defaults import store_defaults
from mmrl.runs.command_line import command_line
from mmrl.runs.settings import RunSettings

def work(settings):
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    import pygame
    pygame.init()  # takes the signal for the closing of a window, where nobody else handles it
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):
        pygame.event.get()

store_defaults()
command_line("train", work, RunSettings)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_sigterm_ends_a_command_with_143_whatever_libraries_do() -> None:
    pytest.importorskip("pygame")
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 143
    assert done.stderr.splitlines()[-2:] == ["mmrl: ending at SIGTERM", "interrupted"]


def test_a_signal_takes_the_path_of_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt) as told, ending_when_told():
        os.kill(os.getpid(), signal.SIGTERM)
    assert isinstance(told.value, TerminatedError)
    assert exit_code(told.value) == 143
    assert exit_code(KeyboardInterrupt()) == 130


def test_handlers_are_put_back_and_what_is_ignored_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_when_told():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
