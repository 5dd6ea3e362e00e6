"""Threads: how many, by which library, and what is left of them in a forked child.

OpenMP starts a team of threads in microseconds.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..abi.run_state import MASK
from ..errors import MachineError
from ..kernels.machine import available_cores


class Entries(NamedTuple):
    """Addresses that the walker calls or reads; 0 where there is no such thing."""

    parallel: int = 0  # GOMP_parallel
    thread_number: int = 0  # omp_get_thread_num
    get_core: int = 0  # sched_getcpu
    set_cores: int = 0  # sched_setaffinity
    cores: int = 0  # a table with, for each core, the other cores this process may use


NO_ENTRIES = Entries()


@dataclass(frozen=True)
class Threading:
    """The threads that run the shards: ``count`` of them, by ``layer``, which is ``OpenMP`` or ``one thread``.

    ``note`` says why there are fewer than were asked for. ``entries`` are for the walker.
    """

    layer: str
    count: int
    note: str = ""
    entries: Entries = NO_ENTRIES


LIBRARIES = ("libgomp.so.1", "libomp.so.5", "libomp.so", "libgomp.dylib", "libomp.dylib")


@functools.cache
def openmp() -> tuple[int, int] | None:
    """Return the addresses of GOMP_parallel and omp_get_thread_num, or None where there is no OpenMP."""
    # libgomp's threads spin for milliseconds at the end of a region. Where another program takes a core, each
    # region then costs a time slice: digits trained at 380 images/s at load 5 on two cores, 10,000 with short spins.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            return _address(library.GOMP_parallel), _address(library.omp_get_thread_num)
        except (OSError, AttributeError):
            continue
    return None


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def threads_of_environment() -> int | None:
    """Return ``$CNNSPEC_THREADS``, None where it is not set; MachineError where it is no whole number above 0."""
    text = os.environ.get("CNNSPEC_THREADS", "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise MachineError(
            "the environment asks for a number of threads that cannot be",
            field="CNNSPEC_THREADS",
            expected="a whole number, at least 1",
            found=text[:40],
            hint="unset CNNSPEC_THREADS, or set it as in  CNNSPEC_THREADS=2",
        )
    return int(text)


MOST = 256  # threads

_kept: list[Any] = []  # tables whose addresses are known to threads


def choose(threads: int | None = None) -> Threading:
    """Choose how many threads run. Results do not depend on it.

    ``threads`` None: :func:`threads_of_environment`, with its errors, else all cores. Call it before the first plan
    runs.
    """
    wanted = threads or threads_of_environment() or available_cores()
    if Team.lost:
        return Threading("one thread", 1, FORKED if wanted > 1 else "")
    found = openmp()
    if found is None:
        return Threading("one thread", 1, "OpenMP is missing (install libgomp1): only one thread runs")
    count = max(1, min(wanted, MOST))
    started = startable(count)
    note = "" if started == count else f"the system starts {started} of {count} threads: see  ulimit -u, ulimit -v"
    return Threading("OpenMP" if started > 1 else "one thread", started, note, Entries(*found, *_affinity()))


@functools.cache
def _affinity() -> tuple[int, int, int]:
    """Return the addresses of sched_getcpu, sched_setaffinity and the table; zeros where threads cannot be moved."""
    try:
        cores = os.sched_getaffinity(0)
        library = ctypes.CDLL(None)
        calls = _address(library.sched_getcpu), _address(library.sched_setaffinity)
    except (AttributeError, OSError):
        return 0, 0, 0
    if len(cores) < 2 or max(cores) >= 8 * MASK:
        return 0, 0, 0
    table = (ctypes.c_uint8 * ((max(cores) + 1) * MASK))()
    for core in range(max(cores) + 1):
        for other in cores - {core}:
            table[core * MASK + other // 8] |= 1 << other % 8
    _kept.append(table)
    return *calls, ctypes.addressof(table)


FORKED = "this process was forked from one that had computed: only one thread runs (start it by `spawn` for more)"


class Team:
    """The state of OpenMP's threads: whether this process has started them, and whether it must do without.

    A forked child has none of its parent's threads, but OpenMP's library waits for them, for ever. Where threads
    cannot be started, for want of memory or of numbers, it ends the process.
    """

    started = False
    lost = False

    @classmethod
    def start(cls, count: int) -> None:
        """Say that a team of so many threads is about to run for the first time."""
        cls.started = True
        if not cls.lost and startable.__wrapped__(count) < count:
            cls.lost = True


@functools.cache
def startable(count: int) -> int:
    """Return how many of so many threads, this one among them, the system starts; all where it cannot be asked.

    The threads are of the C library alone: one of Python would keep 64 MiB of addresses each for its memory.
    """
    try:
        library = ctypes.CDLL(None)
        create, join, wait, init, post = (
            getattr(library, name) for name in ("pthread_create", "pthread_join", "sem_wait", "sem_init", "sem_post")
        )
    except (OSError, AttributeError):
        return count
    over = ctypes.create_string_buffer(64)  # a semaphore
    if init(over, 0, 0) != 0:
        return count
    started: list[ctypes.c_ulong] = []
    for _ in range(count - 1):
        one = ctypes.c_ulong()
        if create(ctypes.byref(one), None, wait, over) != 0:
            break
        started.append(one)
    for _ in started:
        post(over)
    for one in started:
        join(one, None)
    return 1 + len(started)


def _after_fork() -> None:
    Team.lost = Team.lost or Team.started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
