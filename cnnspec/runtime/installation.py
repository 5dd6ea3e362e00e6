"""The processor and the installed versions, as the manifest of a run and ``doctor`` name them."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "numba", "llvmlite", "safetensors", "pillow")


def versions() -> dict[str, str]:
    """Return the installed versions of cnnspec and of what it computes with, without importing them."""
    found = {}
    for package in ("cnnspec", *PACKAGES):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
