"""Being told to end: SIGTERM and SIGHUP take the same path as Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
TOLD = tuple(
    number
    for name in ("SIGTERM", "SIGHUP")  # the latter is not everywhere
    if (number := getattr(signal, name, None)) is not None
)


class TerminatedError(KeyboardInterrupt):
    """The process was told to end.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def ending_when_told() -> Iterator[None]:
    """In this context SIGTERM (`timeout`, `kill`, Slurm) and SIGHUP raise `TerminatedError`.

    Libraries of games and graphics would otherwise take the signal for the closing of a window and
    go on. A second one ends the process at once. What the user ignores stays ignored (`nohup`).
    """
    told = TOLD if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in told}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def exit_code(error: KeyboardInterrupt) -> int:
    """What a process ends with, as shells expect it: 130, or 143 where it was told by SIGTERM."""
    return 128 + error.number if isinstance(error, TerminatedError) else INTERRUPTED


def _raise(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    print(f"mmrl: ending at {signal.Signals(number).name}", file=sys.stderr)  # noqa: T201
    raise TerminatedError(number)
