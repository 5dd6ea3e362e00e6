"""Ctrl-C while kernels compile: heard also where the exception it raises is lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..kernels import load
from ..kernels.effort import Progress


def load_kernels(names: Sequence[str], progress: Progress | None = None) -> dict[str, int]:
    """Do as :func:`cnnspec.kernels.load.load_kernels` does, and hear Ctrl-C meanwhile."""
    with heard_interrupt() as check:

        def told(done: int, total: int, left: float) -> None:
            check()
            if progress is not None:
                progress(done, total, left)

        return load.load_kernels(list(dict.fromkeys(names)), told)


@contextmanager
def heard_interrupt() -> Iterator[Callable[[], None]]:
    """While entered, SIGINT raises KeyboardInterrupt as ever, and the function that is yielded raises it once more.

    The compiler calls Python from LLVM and from destructors, where Python drops exceptions with a line on stderr. A
    Ctrl-C that comes at such a moment would be without effect. Where somebody else handles SIGINT, or outside the
    main thread, it does nothing.
    """
    heard, hook = False, sys.unraisablehook

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    def on_signal(number: int, frame: object) -> None:
        nonlocal heard
        heard = True
        raise KeyboardInterrupt

    def on_lost(lost: Any) -> None:
        if not (heard and issubclass(lost.exc_type, KeyboardInterrupt)):
            hook(lost)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, on_signal)
    sys.unraisablehook = on_lost
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = hook
    check()
