"""Ctrl-C while training, and the signals of batch systems and closed terminals: the first asks the loop to stop after
its step, the second ends at once.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a batch system or `kill`, a terminal that was closed


class Stopped(KeyboardInterrupt):
    """A second signal; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Interrupt:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets ``signal`` to its number; a second raises Stopped.

    A signal that the process was started to ignore (``nohup``, ``&`` in scripts) stays ignored. Outside the main
    thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.signal = 0  # none yet
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise Stopped(number)
        self.signal = number
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()


def _leave_terminal() -> None:
    """Send all output to a terminal to nowhere: the terminal is gone, and writing to it would fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        try:
            is_terminal = stat.S_ISCHR(os.fstat(stream).st_mode)
        except OSError:
            continue
        if is_terminal:
            os.dup2(nowhere, stream)
    os.close(nowhere)
