"""Objects that threads use one at a time, also in processes forked while another thread was using one."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class InTurn:
    """A base for objects that one thread may use at a time: their methods are marked ``in_turn``.

    ``with x.turn`` keeps others out for several calls. A forked child gets a lock of its own, since the thread that
    held the lock at that moment is not there.
    """

    turn: threading.RLock

    def __init__(self) -> None:
        self.turn = threading.RLock()
        _shared.add(self)


def in_turn(method: F) -> F:
    """Let threads call a method of an :class:`InTurn` one after the other, and a method call others of its object."""

    @functools.wraps(method)
    def wait(self: InTurn, *args: Any, **more: Any) -> Any:
        with self.turn:
            return method(self, *args, **more)

    return cast(F, wait)


_shared: weakref.WeakSet[InTurn] = weakref.WeakSet()


def _after_fork() -> None:
    for one in _shared:
        one.turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
