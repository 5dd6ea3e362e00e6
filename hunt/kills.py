"""Kills: a training is killed at any moment and goes on; it ends with the weights of one that was left alone."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .tally import Tally

SPEC = """\
input 8x8x1
conv 8 3x3 -> bn -> relu -> dropout 0.2
maxpool 2
flatten -> dense classes
data {
  source digits
  split val=10%
}
train {
  optimizer adam lr=0.003
  epochs 40
  batch 16
  keep best
}
"""
FILES = ("last.safetensors", "best.safetensors")
ENDS = (130, 143, 129, *(-s for s in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)))
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start one command line of cnnspec as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "cnnspec", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights(file: Path) -> dict[str, bytes]:
    """Return the bytes of each tensor of a checkpoint."""
    from safetensors.numpy import load_file

    return {name: value.tobytes() for name, value in load_file(file).items()}


@dataclass(frozen=True)
class Whole:
    """A training that was left alone: its seconds, its tensors by file, its rows of metrics."""

    seconds: float
    tensors: dict[str, dict[str, bytes]]
    rows: list[dict[str, object]]


def hear_signals() -> None:
    """Take back what a shell's `&` or nohup does to the signals that are sent here: trainings inherit it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def hunt(count: int, seed: int, folder: Path) -> Tally:
    """Kill trainings ``count`` times; each one is resumed (and killed anew) until it has ended."""
    hear_signals()
    rng, tally = random.Random(seed), Tally("kills", count)
    (folder / "net.cnn").write_text(SPEC)
    whole = left_alone(folder)
    while sum(tally.outcomes.values()) < count:
        shutil.rmtree(folder / "runs", ignore_errors=True)
        run = killed_often(folder, whole.seconds, rng, tally)
        if run is not None:
            compare(run, whole, tally)
    return tally


def left_alone(folder: Path) -> Whole:
    """Train to the end, undisturbed."""
    begun = time.monotonic()
    process = start(["train", "net.cnn", "--quiet", "--out", "whole"], folder)
    _, err = process.communicate()
    assert process.returncode == 0, err
    seconds = time.monotonic() - begun
    [run] = (folder / "whole").iterdir()
    return Whole(seconds, {name: weights(run / name) for name in FILES}, rows_of(run))


def killed_often(folder: Path, seconds: float, rng: random.Random, tally: Tally) -> Path | None:
    """Train, kill and resume up to twelve times, then to the end; return the run folder, None where it has no end."""
    run: Path | None = None
    for attempt in range(13):
        arguments = ["train", "--resume", str(run)] if run is not None else ["train", "net.cnn"]
        process = start([*arguments, "--quiet"], folder)
        sent = None
        if attempt < 12 and sum(tally.outcomes.values()) < tally.total:
            time.sleep(rng.random() * seconds)
            sent = rng.choice(SIGNALS)
            process.send_signal(sent)
            if rng.random() < 0.1:
                process.send_signal(sent)
        _, err = process.communicate()
        found = []
        if process.returncode not in (0, *ENDS) or (sent is None and process.returncode):
            found.append(f"{' '.join(arguments)} exits with {process.returncode}: {err.strip()[-400:]}")
        elif "Traceback" in err:
            found.append(f"{' '.join(arguments)} prints a traceback: {err.strip()[-400:]}")
        if sent is not None:
            tally.add(sent.name, *found)
        else:
            for finding in found:
                tally.find(finding)
        made = [p for p in (folder / "runs").glob("*") if p.is_dir() and not p.name.startswith(".")]
        if len(made) > 1:
            tally.find(f"{len(made)} run folders of one training: {[p.name for p in made]}")
        run = made[-1] if made else None
        if process.returncode == 0:
            return run
    return None


def compare(run: Path, whole: Whole, tally: Tally) -> None:
    """Compare a run that was killed with one that was left alone."""
    for name, tensors in whole.tensors.items():
        if weights(run / name) != tensors:
            tally.find(f"{name} has other bits than that of a training left alone")
    rows = rows_of(run)
    if rows != whole.rows:
        tally.find(f"metrics.jsonl has {len(rows)} rows that are not the {len(whole.rows)} of a training left alone")
    left = [p.name for p in run.parent.rglob(".*") if p.name.endswith((".part", ".tmp"))]
    if left:
        tally.find(f"left behind: {left}")


def two_at_once(folder: Path) -> list[str]:
    """Resume one run from two processes; one goes on, the other is refused."""
    (folder / "net.cnn").write_text(SPEC)
    process = start(["train", "net.cnn", "--quiet", "--steps", "5", "--out", "shared"], folder)
    process.communicate()
    [run] = (folder / "shared").iterdir()
    both = [start(["train", "--resume", str(run), "--quiet"], folder) for _ in range(2)]
    ends = [(p.communicate()[1], p.returncode) for p in both]
    codes = sorted(code for _, code in ends)
    rows = len(rows_of(run))
    found = []
    if rows != 40:
        found.append(f"two --resume on one run write {rows} epochs of 40")
    if codes not in ([0, 1], [0, 0]):  # the second may begin when the first has ended
        found.append(f"two --resume on one run exit with {codes}: {ends}")
    return found


def rows_of(run: Path) -> list[dict[str, object]]:
    """Return the rows of metrics.jsonl without what a clock measured."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "waiting")} for line in lines]
