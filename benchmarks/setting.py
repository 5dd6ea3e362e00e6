"""Where the benchmark runs: the peers' own environment, and the machine as the report describes it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from .nets import ROOT

PEERS = ("torch==2.13.0", "onnxruntime", "onnx", "numpy")


def peers_python(folder: Path, packages: tuple[str, ...] = PEERS) -> str:
    """Return the Python of the peers' environment, making and filling the environment when it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"making an environment for PyTorch and onnxruntime in {folder} (once)", file=sys.stderr)
        venv.create(folder, with_pip=True)
    modules = ", ".join(package.partition("==")[0] for package in packages)
    have = subprocess.run([str(python), "-c", f"import {modules}"], capture_output=True)
    if have.returncode != 0:
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return str(python)


def machine() -> dict[str, object]:
    """Return the machine and the versions in words, without names or paths of it."""
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("numba", "llvmlite", "numpy")},
        "cnnspec": commit() or version("cnnspec"),
    }


def cpu_name() -> str:
    """Return the processor's name, with family and vectors where Linux tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    flags = fields.get("flags", "").split()
    vectors = next((text for flag, text in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return f"{name}, {vectors}" if vectors else name


def commit() -> str:
    """Return the commit of the checkout, with a + where files have changed since, or nothing."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "cnnspec"], cwd=ROOT, capture_output=True, text=True
        )
    except OSError:
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
