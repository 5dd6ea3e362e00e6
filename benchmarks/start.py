"""The first start: installations of cnnspec in turn, each from an empty cache, to the first step of a training.

    python -m benchmarks.start old=OLD/.venv/bin/python:OLD new=.venv/bin/python:. wheel=ENV/bin/python

A contender is LABEL=PYTHON, with :TREE where cnnspec is read from a checkout. For each it prints the seconds from the
start of a process to the end of its first training step, with an empty cache and again with the cache that this left;
the same for a process that predicts, with the peak of its memory; the modules of the compiler it imported; one hash
over weights, losses and predictions after ten steps, which must be the same for all; and the size of the installation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BATCHES = {"lenet5": 64, "resnet18": 8, "resnet20": 64, "vgg_small": 64, "digits": 32, "mobilenetv2_96": 64}
NOT_OURS = ("pip", "setuptools", "wheel", "_distutils_hack", "__pycache__")  # what an environment has before

CHILD = """
import hashlib, json, sys
import numpy as np
from cnnspec.compiler import Compiler
from cnnspec.runtime.network import Network

path, batch, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
compiler = Compiler.from_text(open(path, encoding="utf-8").read())
model = compiler.model
try:
    net = Network(compiler.with_options(batch=batch), seed=7)
except (AttributeError, TypeError):
    net = Network(model, batch=batch, seed=7)  # before 0.1.0
rng = np.random.default_rng(3)
x = rng.standard_normal((batch, *model.input_shape), np.float32)
y = rng.integers(0, model.output_shape[-1], batch).astype(np.int32)
step = (lambda: net.predict(x)) if what == "predict" else (lambda: net.train_step(x, y, lr=0.01))
step()
print("{}", flush=True)
found = {}
if what == "bits":
    losses = [net.train_step(x, y, lr=0.01).loss for _ in range(9)]
    parts = [np.asarray(array) for _, array in sorted(net.parameters().items())] + [np.array(losses), net.predict(x)]
    found["bits"] = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]
status = open("/proc/self/status").read()
found["peak"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
found["compiler"] = [name for name in ("numba", "llvmlite") if name in sys.modules]
print(json.dumps(found))
"""


def spec_of(net: str) -> Path:
    """Return the file of a net."""
    paths = (ROOT / folder / f"{net}.cnn" for folder in ("specs", "specs/zoo", "benchmarks/specs"))
    return next(path for path in paths if path.exists())


def start(contender: str, net: str, batch: int, what: str, cache: str) -> tuple[float, dict[str, Any]]:
    """Run a process to the end; return the seconds to its first step, and what it tells at its end."""
    python, _, tree = contender.partition(":")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"CNNSPEC_CACHE": cache}
    if tree:
        environment["PYTHONPATH"] = str(Path(tree).resolve())
    command = [str(Path(python).absolute()), "-c", CHILD, str(spec_of(net)), str(batch), what]
    before = time.perf_counter()
    with tempfile.TemporaryDirectory() as elsewhere:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=elsewhere)
        assert process.stdout is not None
        first = process.stdout.readline()
        seconds = time.perf_counter() - before
        rest = process.communicate()[0]
    if process.returncode or not first:
        raise SystemExit(f"{' '.join(command[:1])}: exit {process.returncode}")
    return seconds, json.loads(rest)


def sizes(contender: str) -> tuple[float, float]:
    """Return the MB (10^6 bytes) of all packages of a Python, and of cnnspec in it."""
    python, _, tree = contender.partition(":")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    parts = [p for p in folder.iterdir() if not p.name.lower().startswith(NOT_OURS)]
    ours = Path(tree or folder) / "cnnspec"
    return sum(map(_bytes, parts)) / 1e6, _bytes(ours) / 1e6


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.lstat().st_size for p in files if p.is_file() and "__pycache__" not in p.parts)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contenders", nargs="+", metavar="LABEL=PYTHON[:TREE]")
    parser.add_argument("--nets", default="lenet5,resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    contenders = dict(one.partition("=")[::2] for one in given.contenders)
    for label, contender in contenders.items():
        with tempfile.TemporaryDirectory() as cache:
            start(contender, "lenet5", 1, "train", cache)  # files are read once before
        everything, ours = sizes(contender)
        print(f"{label}: packages {everything:.0f} MB, cnnspec {ours:.1f} MB")
    for net in given.nets.split(","):
        taken: dict[tuple[str, str], list[float]] = defaultdict(list)
        last: dict[tuple[str, str], dict[str, Any]] = {}
        for _ in range(given.rounds):
            for what in ("train", "predict"):
                for label, contender in contenders.items():
                    with tempfile.TemporaryDirectory() as cache:
                        for when in ("ever", "again"):
                            batch = BATCHES[net] if what == "train" else 1
                            seconds, told = start(contender, net, batch, what, cache)
                            taken[label, f"{what} {when}"].append(seconds)
                            last[label, f"{what} {when}"] = told
                        if (label, "bits") not in last:
                            last[label, "bits"] = start(contender, net, BATCHES[net], "bits", cache)[1]
        base = next(iter(contenders))
        for label, row in taken:
            mine, told = taken[label, row], last[label, row]
            middle, ratio = statistics.median(mine), statistics.median(mine) / statistics.median(taken[base, row])
            rounds = ", ".join(f"{seconds:.2f}" for seconds in sorted(mine))
            print(
                f"{net:12} {row:14} {label:10} {middle:7.2f} s  x{ratio:.2f}  ({rounds})  peak {told['peak']:.0f} MiB"
                f"  {'+'.join(told['compiler']) or 'no compiler'}  bits {last[label, 'bits']['bits']}"
            )


if __name__ == "__main__":
    main()
