"""What this CPU can do, as the kernels need to know it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from .shipped import shipped


@dataclass(frozen=True)
class Machine:
    """The vector unit that kernels are made for.

    Attributes
    ----------
    cpu : LLVM's name of the CPU, e.g. ``znver4``.
    vector_bytes : bytes of a vector register: 64 (AVX-512), 32 (AVX2) or 16.
    fma : whether one instruction multiplies and adds.
    registers : vector registers there are.
    """

    cpu: str
    vector_bytes: int
    fma: bool
    registers: int

    @property
    def path(self) -> str:
        """The kernels' path in a word, for ``doctor`` and benchmarks."""
        return {64: "avx512", 32: "avx2"}.get(self.vector_bytes, "plain")


def available_cores() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def host() -> Machine:
    """Return the machine that kernels are compiled for.

    ``CNNSPEC_VECTOR`` = ``avx512``, ``avx2`` or ``plain`` narrows it (never widens it); ``NUMBA_CPU_NAME``, which
    numba compiles for, does so too. With ``NUMBA_CPU_FEATURES`` numba compiles for that CPU, whatever this one is.
    """
    other = "NUMBA_CPU_FEATURES" in os.environ
    return _host(os.environ.get("CNNSPEC_VECTOR", ""), os.environ.get("NUMBA_CPU_NAME", ""), other)


def running() -> Machine:
    """Return the machine that the kernels which run are made for: those of the wheel, else :func:`host`."""
    level = shipped().level
    return Machine(level.name, level.vector_bytes, True, level.registers) if level else host()


@functools.cache
def _host(wanted: str, cpu_name: str, other: bool) -> Machine:
    import llvmlite.binding as llvm

    has = {name for name, on in llvm.get_host_cpu_features().items() if on}
    if cpu_name:
        named = _FEATURES_OF.get(cpu_name, set())
        has = named if other else has & named
    cpu = cpu_name or llvm.get_host_cpu_name()
    fma = "fma" in has or "neon" in has
    if {"avx512f", "avx512vl"} <= has and wanted in ("", "avx512"):
        return Machine(cpu, 64, fma, 32)
    if {"avx2", "fma"} <= has and wanted in ("", "avx512", "avx2"):
        return Machine(cpu, 32, fma, 16)
    return Machine(cpu, 16, fma, 16)


# What a CPU named in NUMBA_CPU_NAME has; an unknown name counts as the plainest.
_FEATURES_OF = {
    "x86-64-v3": {"avx2", "fma"},
    "haswell": {"avx2", "fma"},
    "x86-64-v4": {"avx2", "fma", "avx512f", "avx512vl"},
    "skylake-avx512": {"avx2", "fma", "avx512f", "avx512vl"},
    "znver3": {"avx2", "fma"},
    "znver4": {"avx2", "fma", "avx512f", "avx512vl"},
}
