"""Ctrl-C while kernels compile: heard also where the exception it raises is lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

from ..kernels import load
from ..kernels.effort import Progress


def load_kernels(names: Sequence[str], progress: Progress | None = None) -> dict[str, int]:
    """Do as :func:`cnnspec.kernels.load.load_kernels` does, and hear Ctrl-C meanwhile."""
    with HeardInterrupt() as interrupt:

        def told(done: int, total: int, left: float) -> None:
            interrupt.check()
            if progress is not None:
                progress(done, total, left)

        return load.load_kernels(list(dict.fromkeys(names)), told)


class HeardInterrupt:
    """While entered, SIGINT raises KeyboardInterrupt as ever, and :meth:`check` raises it once more.

    The compiler calls Python from LLVM and from destructors, where Python drops exceptions with a line on stderr. A
    Ctrl-C that comes at such a moment would be without effect. Where somebody else handles SIGINT, or outside the
    main thread, it does nothing.
    """

    def __init__(self) -> None:
        self._heard = self._ours = False
        self._hook: Callable[[Any], object] = sys.unraisablehook

    def __enter__(self) -> HeardInterrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_signal)
            self._ours, self._hook = True, sys.unraisablehook
            sys.unraisablehook = self._on_lost
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = self._hook
            if kind is None:
                self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt where SIGINT came."""
        if self._heard:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._heard = True
        raise KeyboardInterrupt

    def _on_lost(self, lost: Any) -> None:
        if not (self._heard and issubclass(lost.exc_type, KeyboardInterrupt)):
            self._hook(lost)
