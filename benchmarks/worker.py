"""One contender in a process of its own: it builds its net, and takes steps when told to.

    python -m benchmarks.worker JOB

``JOB`` is JSON: ``contender``, ``measure`` (training, inference), ``net`` (a name), ``folder`` (exchange.py's),
``batch``, ``threads``. Commands come as lines of JSON on standard input and each is answered by one line:

- ``check``: what the contender computes, to be compared before anything is timed.
- ``prepare``: try the contender's own variants (optimizer loops, ways to pass inputs) and keep the fastest.
- ``time``: take steps for so many seconds; the seconds of each.

``clock`` is wall, or cpu for processor time. With ``"once": true`` there are no commands: the process takes one
training step, says so, takes some more, and tells its peak memory. Between commands a worker waits for input and takes
no core.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

CHECKED_STEPS = 5
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Contender(Protocol):
    """What each of run_cnnspec.py, run_torch.py and run_onnx.py offers."""

    about: str  # versions and variant, for the report

    def logits(self) -> np.ndarray:
        """Return the outputs in inference mode for the first batch, with the initial weights."""

    def losses(self, steps: int) -> list[float]:
        """Return the loss of each of so many training steps from the initial weights."""

    def variants(self) -> dict[str, Callable[[], object]]:
        """Return steps of the job's measure by name; each call is one step with the next batch."""


def build(job: dict[str, Any]) -> Contender:
    """Return the contender of a job; only its own libraries are imported."""
    name, _, mode = job["contender"].partition(" ")
    if name == "cnnspec":
        from .run_cnnspec import Cnnspec

        return Cnnspec(job)
    if name == "PyTorch":
        from .run_torch import Torch

        return Torch(job, mode)
    from .run_onnx import Onnx

    return Onnx(job)


def timed(
    step: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter, least: int = 3
) -> list[float]:
    """Take steps for about so many seconds by a clock, at least ``least``; return the seconds of each."""
    taken: list[float] = []
    before = clock()
    end = before + seconds
    while before < end or len(taken) < least:
        step()
        after = clock()
        taken.append(after - before)
        before = after
    return taken


def fastest(variants: dict[str, Callable[[], object]], seconds: float) -> str:
    """Return the name of the fastest variant, by medians of three interleaved rounds after a warm-up."""
    for step in variants.values():
        timed(step, seconds / 4, least=2)
    if len(variants) == 1:
        return next(iter(variants))
    medians: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(3):
        for name, step in variants.items():
            time.sleep(0.2)  # threads of the variant before may still spin
            medians[name].append(float(np.median(timed(step, seconds / 3, least=1))))
    return min(medians, key=lambda name: float(np.median(medians[name])))


def peak_bytes() -> int:
    """Return the most memory this process has held (Linux: VmHWM, which, unlike ru_maxrss, starts at exec)."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def main() -> None:
    """Serve one job."""
    job = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w")  # libraries that print do not disturb the replies
    os.dup2(2, 1)

    def reply(**values: Any) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    contender = build(job)
    if job.get("once"):
        step = next(iter(contender.variants().values()))
        step()
        reply(first_step=True)
        for _ in range(job["further_steps"]):
            step()
        reply(peak_bytes=peak_bytes(), about=contender.about)
        return
    reply(about=contender.about)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "check":
            if job["measure"] == "training":
                reply(losses=contender.losses(CHECKED_STEPS))
            else:
                np.save(command["path"], contender.logits())
                reply(logits=command["path"])
        elif command["do"] == "prepare":
            variants = contender.variants()
            chosen = fastest(variants, command["seconds"])
            step = variants[chosen]
            reply(variant=chosen)
        elif command["do"] == "time":
            reply(seconds=timed(step, command["seconds"], CLOCKS[job["clock"]]))


if __name__ == "__main__":
    main()
