"""Kernels that travel in a wheel: a shared library of machine code for each level of x86-64, loaded without a compiler.

A library is used where the CPU has all that its level needs, the kernels' sources are those that it was made from, and
its checksum is right. Else kernels are compiled, as in a checkout, which has no libraries.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from .cache import SETTINGS, sources_sha256

FOLDER = Path(__file__).parent / "machine_code"
CONTENTS = "contents.json"


@dataclass(frozen=True)
class Level:
    """A level of x86-64, by LLVM's name.

    Attributes
    ----------
    features : LLVM's, over those of the level.
    needs : flags of the CPU, as Linux names them.
    vector_bytes, registers : of the vector unit.
    """

    name: str
    features: str
    needs: frozenset[str]
    vector_bytes: int
    registers: int


_V3 = frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "3dnowprefetch"])
_V4 = _V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])

# The best first. prfchw asks for a cache line to be written; CPUs of these levels have it, the levels do not name it.
LEVELS = (
    Level("x86-64-v4", "+prfchw,-prefer-256-bit", _V4, 64, 32),
    Level("x86-64-v3", "+prfchw", _V3, 32, 16),
)


@dataclass(frozen=True)
class Shipped:
    """The library that this process uses, or the reason why it uses none, as half a sentence."""

    level: Level | None = None
    library: ctypes.CDLL | None = None
    kernels: int = 0
    why: str = ""

    def words(self) -> str:
        """Return which machine code the wheel has for this process, or why none."""
        return f"{self.kernels} kernels for {self.level.name}" if self.level else f"no machine code: {self.why}"

    def find(self, name: str) -> int:
        """Return the address of a kernel, 0 where the library lacks it."""
        try:
            entry = self.library[name] if self.library is not None else None
        except AttributeError:
            return 0
        return ctypes.cast(entry, ctypes.c_void_p).value or 0 if entry is not None else 0


def shipped() -> Shipped:
    """Return the library for this CPU. Settings that change code (cache.SETTINGS) ask for code of their own."""
    given = [name for name in SETTINGS if os.environ.get(name)]
    return Shipped(why=f"{given[0]} is set") if given else _opened(FOLDER)


@functools.cache
def _opened(folder: Path) -> Shipped:
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return Shipped(why="there is none for this system")
    try:
        contents = json.loads((folder / CONTENTS).read_bytes())
        libraries = contents["libraries"]
        if contents["sources"] != sources_sha256():
            return Shipped(why="the kernels' sources have changed since it was made")
        level = next((one for one in LEVELS if one.name in libraries and one.needs <= _cpu_flags()), None)
        if level is None:
            return Shipped(why="there is none for this CPU")
        path = folder / f"{level.name}.so"
        if sha256(path.read_bytes()) != libraries[level.name]["sha256"]:
            return Shipped(why=f"{path} is damaged: install cnnspec again")
        return Shipped(level, ctypes.CDLL(str(path)), libraries[level.name]["kernels"])
    except FileNotFoundError:
        return Shipped(why="this installation has none")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return Shipped(why=f"it cannot be loaded from {folder}: {error}")


def sha256(content: bytes) -> str:
    """Return the checksum of a library."""
    return hashlib.sha256(content).hexdigest()


def _cpu_flags() -> frozenset[str]:
    """Return the features that the CPU has and the system allows, by Linux's names."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()
