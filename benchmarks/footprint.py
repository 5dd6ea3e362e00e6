"""What a process that only predicts holds in memory: ``python -m benchmarks.footprint [SPEC]`` prints it, step by step.

LeNet by default, one image, kernels as they are kept (a first run compiles them, and is then to be repeated). Resident
memory in MB, which counts pages of libraries that other processes share; below it what holds the most at the end, and
how much of it is the process's own. Linux only: from /proc/self/smaps.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

SPEC = Path(__file__).resolve().parent.parent / "specs" / "zoo" / "lenet5.cnn"
SHOWN = 8


def main() -> None:
    """Take the steps of a prediction, and print the memory after each."""
    show("python")
    compiler = import_module("cnnspec.compiler").Compiler.from_path(sys.argv[1] if sys.argv[1:] else SPEC)
    model = compiler.model
    show("the spec is checked")
    np = import_module("numpy")
    show("numpy")
    weights = {name: np.zeros(p.shape, np.float32) for name, p in model.params.items()}
    network = import_module("cnnspec.runtime.network").Network(compiler.with_options(batch=1), parameters=weights)
    show("the net has its weights")
    network.compile(training=False)
    show("its kernels are loaded")
    network.predict(np.zeros((1, *model.input_shape), np.float32))
    show("it has predicted")
    resident, own = by_mapping()
    for name, kib in resident.most_common(SHOWN):
        print(f"    {Path(name).name:50}{kib / 1024:7.1f}   own {own[name] / 1024:5.1f}")
    print(f"    numba {'is' if 'numba' in sys.modules else 'is not'} loaded")


def show(step: str) -> None:
    """Print resident memory."""
    print(f"{step:54}{sum(by_mapping()[0].values()) / 1024:7.1f}", flush=True)


def by_mapping() -> tuple[Counter[str], Counter[str]]:
    """Return resident and own (written) KiB of each file that is mapped, of the heap and of other memory."""
    resident: Counter[str] = Counter()
    own: Counter[str] = Counter()
    name = ""
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            name = words[5] if len(words) > 5 else "anonymous"
        elif words[0] == "Rss:":
            resident[name] += int(words[1])
        elif words[0] in ("Private_Dirty:", "Shared_Dirty:"):
            own[name] += int(words[1])
    return resident, own


if __name__ == "__main__":
    main()
