"""Contenders in processes of their own, checked against one another, then timed in turn: A B C A B C."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .nets import NETS, ROOT, load_model

TOLERANCE, LOSS_TOLERANCE = 1e-4, 2e-6  # relative, of logits and of the losses of five steps
# Deep nets with batch norm amplify rounding from step to step. Where PyTorch's float32, in either layout, is further
# than that from its own float64, a contender may be so many times as far; where it is much further, the comparison
# would say nothing.
ROUNDING_MARGIN, ROUNDING_LIMIT = 4.0, 5e-4
QUIET = 0.1  # share of the cores that other processes may use in a round that counts
SETTLE = 0.2  # seconds between turns: onnxruntime's threads spin for 0.1 s after their last run
OURS = "cnnspec"
ONNX = "onnxruntime"
EAGER, CHANNELS_LAST, COMPILE = "PyTorch eager", "PyTorch eager channels_last", "PyTorch compile"
REFERENCE = "PyTorch float64"


class Disagreement(Exception):
    """Two contenders do not compute the same function: nothing may be timed."""


@dataclass(frozen=True)
class Job:
    """One comparison: ``measure`` is training or inference; the contenders in the order of their turns."""

    measure: str
    net: str
    batch: int
    threads: int
    contenders: tuple[str, ...]

    @property
    def title(self) -> str:
        s = "" if self.threads == 1 else "s"
        return f"{self.measure}, {NETS[self.net].title}, batch {self.batch}, {self.threads} thread{s}"


class Workshop:
    """Where workers are started: the two Pythons, and a folder with the exchanged nets."""

    def __init__(self, peers_python: str, folder: Path, clock: str = "wall") -> None:
        self.python = {OURS: sys.executable}
        self.peers_python = peers_python
        self.folder = folder
        self.clock = clock
        self.references: dict[tuple[str, str, int], Reference] = {}

    def exchanged(self, net: str) -> Path:
        """Return the folder of a net in the form that peers read, written on first use."""
        folder = self.folder / net
        if not folder.exists():
            from .exchange import write_net

            write_net(load_model(net), folder)
        return folder

    def start(self, job: Job, contender: str, env: dict[str, str] | None = None, **more: Any) -> Worker:
        """Start a worker for one contender of a job."""
        description = {
            "contender": contender, "measure": job.measure, "net": job.net, "batch": job.batch,
            "threads": job.threads, "folder": str(self.exchanged(job.net)), "clock": self.clock, **more,
        }  # fmt: skip
        return Worker(self.python.get(contender, self.peers_python), description, env or {})

    def reference(self, job: Job) -> Reference:
        """Return what PyTorch computes in float64, and how far float32 may be from it."""
        key = (job.measure, job.net, job.batch)
        if key not in self.references:
            with self.start(job, REFERENCE) as worker:
                expected = np.asarray(worker.check(self.folder), np.float64)
            allowed = np.full(len(expected), LOSS_TOLERANCE if job.measure == "training" else TOLERANCE)
            if job.measure == "training":
                rounding = np.zeros(len(expected))
                for layout in (EAGER, CHANNELS_LAST):
                    with self.start(job, layout) as worker:
                        errors = relative_errors(worker.check(self.folder), expected)
                    if errors.max() > ROUNDING_LIMIT:
                        raise Disagreement(f"{job.title}: {layout} is off by {errors.max():.1e} from its own float64")
                    rounding = np.maximum(rounding, errors)
                allowed = np.maximum(allowed, ROUNDING_MARGIN * np.maximum.accumulate(rounding))
            self.references[key] = Reference(expected, allowed)
        return self.references[key]


@dataclass(frozen=True)
class Reference:
    """Expected logits [n, classes] or losses [steps], and the relative error allowed for each sample or step."""

    expected: np.ndarray
    allowed: np.ndarray

    def judge(self, found: Any) -> tuple[float, str]:
        """Return the largest relative error of what a contender found, and the worst one that is not allowed, or ""."""
        errors = relative_errors(found, self.expected)
        worst = int(np.argmax(errors / self.allowed))
        if errors[worst] <= self.allowed[worst]:
            return float(errors.max()), ""
        return float(errors.max()), (
            f"{errors[worst]:.1e} (sample or step {worst + 1}), {self.allowed[worst]:.1e} is allowed"
        )


def relative_errors(found: Any, expected: np.ndarray) -> np.ndarray:
    """Return, for each sample or step, the largest difference relative to its largest expected number."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape:
        return np.full(len(b), np.inf)
    errors = np.abs(a - b).reshape(len(b), -1).max(1) / np.abs(b).reshape(len(b), -1).max(1)
    return np.where(np.isfinite(errors), errors, np.inf)


class Worker:
    """A process that holds one contender and waits for commands; see worker.py."""

    def __init__(self, python: str, description: dict[str, Any], env: dict[str, str]) -> None:
        self.name = description["contender"]
        threads = str(description["threads"])
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", json.dumps(description)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.variant = ""
        self.about = ""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        if exc[0] is not None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def read(self) -> dict[str, Any]:
        """Return the next reply. Raises RuntimeError with the end of its messages when the process died."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            tail = self.errors.read().decode("utf-8", "replace")[-3000:]
            raise RuntimeError(f"{self.name} ended without an answer:\n{tail}")
        return json.loads(line)

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Send a command and return the reply."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def greet(self) -> None:
        """Wait until the worker has built its net."""
        self.about = self.read()["about"]

    def check(self, folder: Path) -> Any:
        """Return logits as an array, or a list of losses."""
        if not self.about:
            self.greet()
        reply = self.ask("check", path=str(folder / "logits.npy"))
        return reply["losses"] if "losses" in reply else np.load(reply["logits"], allow_pickle=False)

    def cpu_seconds(self) -> float:
        """Return the processor time the process has used, or 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(shop: Workshop, job: Job, rounds: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Check, warm up and time the contenders of a job in turn.

    Rounds in which other processes were busy are taken again, at most twice as many rounds in all; the quietest
    ``rounds`` count. What is thrown away is decided by the other processes' load alone, never by a result.

    Returns
    -------
    The job's fields, and for each contender: ``seconds`` of a step, the median of each round; ``error`` against
    float64; ``variant``; and ``noise``, what else used the cores.

    Raises
    ------
    Disagreement
        When a contender's logits or losses differ too much from the float64 reference.
    """
    say(job.title)
    reference = shop.reference(job)
    contenders: dict[str, dict[str, Any]] = {}
    taken: list[Round] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(shop.start(job, name)) for name in job.contenders]
        for worker in workers:
            error, fault = reference.judge(worker.check(shop.folder))
            if fault:
                raise Disagreement(f"{job.title}: {worker.name} is off by {fault}")
            worker.variant = worker.ask("prepare", seconds=seconds)["variant"]
            say(f"  {worker.name:28} agrees to {error:.0e}  {worker.variant}")
            contenders[worker.name] = {"error": error, "variant": worker.variant, "about": worker.about}
        while sum(r.others < QUIET for r in taken) < rounds and len(taken) < 2 * rounds:
            taken.append(one_round(workers, seconds))
    limit = sorted(r.others for r in taken)[rounds - 1]
    kept = [r for r in taken if r.others <= limit][:rounds]
    for name, result in contenders.items():
        result["seconds"] = [r.seconds[name] for r in kept]
        say(f"  {name:28} {job.batch / median(result['seconds']):12,.1f} images/s")
    noise = {
        "other_processes": median(r.others for r in kept), "waiting_contenders": max(r.waiting for r in kept),
        "rounds_taken": len(taken),
    }  # fmt: skip
    return {
        "measure": job.measure, "net": job.net, "batch": job.batch, "threads": job.threads,
        "contenders": contenders, "noise": noise,
    }  # fmt: skip


@dataclass
class Round:
    """One turn of each contender.

    Attributes
    ----------
    seconds : of a step, the median of the turn, by contender.
    others : share of all cores that processes outside the benchmark used, the largest of all turns (Linux, else 0).
    waiting : share of one core that the contenders who waited used together, the largest of all turns.
    """

    seconds: dict[str, float]
    others: float = 0.0
    waiting: float = 0.0


def one_round(workers: Sequence[Worker], seconds: float) -> Round:
    """Give each worker one turn."""
    round_ = Round({})
    for active in workers:
        time.sleep(SETTLE)
        before = usage(active, workers)
        steps = active.ask("time", seconds=seconds)["seconds"]
        wall, busy, own, waiting = (b - a for a, b in zip(before, usage(active, workers), strict=True))
        round_.seconds[active.name] = median(steps)
        round_.waiting = max(round_.waiting, waiting / wall)
        round_.others = max(round_.others, (busy - own - waiting) / wall / (os.cpu_count() or 1))
    return round_


def usage(active: Worker, workers: Iterable[Worker]) -> tuple[float, float, float, float]:
    """Return the clock, and the processor time of all processes, of the active worker and of the others."""
    waiting = sum(w.cpu_seconds() for w in workers if w is not active)
    return time.perf_counter(), busy_seconds(), active.cpu_seconds(), waiting


def busy_seconds() -> float:
    """Return the processor time all processes have used, over all cores, or 0 where the system does not tell."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = (int(f) for f in fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


# ---- from the shell to the first step ------------------------------------------------------------
FURTHER_STEPS = 10


def first_steps(shop: Workshop, job: Job, rounds: int, cold: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Time whole processes from their start to the end of their first training step, and read their peak memory.

    ``cold``: with empty caches of compiled code, cnnspec's kernels and torch.compile's.
    """
    measure = "cold start" if cold else "start"
    say(f"{measure}, {NETS[job.net].title}, batch {job.batch}")
    contenders: dict[str, dict[str, Any]] = {c: {"seconds": [], "peak_bytes": []} for c in job.contenders}
    for i in range(rounds if cold else rounds + 1):
        for name, result in contenders.items():
            with tempfile.TemporaryDirectory() as empty:
                env = {"CNNSPEC_CACHE": empty, "TORCHINDUCTOR_CACHE_DIR": empty} if cold else {}
                shop.exchanged(job.net)
                begin = time.perf_counter()
                with shop.start(job, name, env, once=True, further_steps=FURTHER_STEPS) as worker:
                    worker.read()
                    taken = time.perf_counter() - begin
                    reply = worker.read()
                if i == 0 and not cold:  # warms the caches
                    continue
                result["seconds"].append(taken)
                result["peak_bytes"].append(reply["peak_bytes"])
                result["about"] = reply["about"]
    for name, result in contenders.items():
        peak = median(result["peak_bytes"]) / 2**20
        say(f"  {name:28} {median(result['seconds']):8.2f} s to the first step, {peak:7.0f} MiB at most")
    return {
        "measure": measure, "net": job.net, "batch": job.batch, "threads": job.threads, "contenders": contenders
    }  # fmt: skip
