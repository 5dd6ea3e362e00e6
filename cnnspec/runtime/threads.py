"""Threads: how many, and by which library. Only OpenMP starts a parallel region in microseconds."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

from ..errors import MachineError


@dataclass(frozen=True)
class Threading:
    """What runs the shards: ``layer`` is ``omp`` or ``workqueue``; ``count`` threads; ``note`` says what is amiss."""

    layer: str
    count: int
    note: str = ""


def available_cores() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def openmp_works() -> bool:
    """Whether numba can load its OpenMP layer (it needs the system's libgomp)."""
    try:
        importlib.import_module("numba.np.ufunc.omppool")
    except ImportError:
        return False
    return True


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


def choose(threads: int | None = None) -> Threading:
    """Choose layer and number of threads, and tell numba. Results do not depend on either.

    ``threads`` None: ``$CNNSPEC_THREADS``, else all cores. Call it before the first plan runs.

    Raises
    ------
    MachineError
        When ``$CNNSPEC_THREADS`` is no whole number above 0.
    """
    # libgomp's threads spin for milliseconds at the end of a region. Where another program takes a core, each
    # region then costs a time slice: digits trained at 380 images/s at load 5 on two cores, 10,000 with short spins.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    wanted = threads or threads_of_environment() or available_cores()
    import numba

    config: Any = numba.config

    count = max(1, min(wanted, config.NUMBA_NUM_THREADS))
    if openmp_works():
        layer, note = "omp", ""
    else:
        layer = "workqueue"
        note = "OpenMP is missing (install libgomp1): each parallel region costs about 110 us instead of 3"
    config.THREADING_LAYER = layer
    return Threading(layer, count, note)
