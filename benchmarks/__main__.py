"""The benchmark's command: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import roofline
from .duel import CHANNELS_LAST, COMPILE, EAGER, ONNX, OURS, Disagreement, Job, Workshop, compare, first_steps
from .nets import GUARDS, NETS
from .report import chart, markdown, put_between_markers, ratio
from .setting import machine, peers_python

HERE = Path(__file__).resolve().parent
MEASURES = ("training", "inference", "latency", "start", "cold", "batches", "threads", "roofline")
QUICK_NETS = ("lenet", "vgg_small", "resnet20")


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="cnnspec against PyTorch and onnxruntime: each in its own process, timed in turn, and only "
        "after all have been shown to compute the same function.",
    )
    names = ", ".join(NETS)
    parser.add_argument("--nets", default="", metavar="A,B", help=f"of {names}; all when left out")
    parser.add_argument("--only", default="", metavar="A,B", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn (0.5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="all cores")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor time, for a busy machine; one thread"
    )
    parser.add_argument("--quick", action="store_true", help="three nets, ratios guarded; exit code 1 below a guard")
    parser.add_argument("--publish", action="store_true", help="write README.md, ROOFLINE.md and the chart")
    parser.add_argument("--report", type=Path, metavar="JSON", help="print (and publish) earlier results instead")
    peers = Path(os.environ.get("CNNSPEC_PEERS", HERE / ".peers"))
    parser.add_argument("--peers", type=Path, default=peers, metavar="DIR", help="the peers' environment")
    chosen = parser.parse_args()
    chosen.nets = listed(parser, chosen.nets, NETS if not chosen.quick else QUICK_NETS)
    chosen.only = listed(parser, chosen.only, MEASURES if not chosen.quick else ("training", "inference", "latency"))
    if chosen.clock == "cpu" and chosen.threads != 1:
        parser.error("--clock cpu needs --threads 1: threads that wait would count as work")
    if chosen.quick:
        chosen.no_compile, chosen.rounds, chosen.seconds = True, 5, 0.3
    return chosen


def listed(parser: argparse.ArgumentParser, text: str, known: Any) -> list[str]:
    """Return the words of a comma list, all known ones when it is empty."""
    words = [word for word in text.split(",") if word] or list(known)
    for word in words:
        if word not in known:
            parser.error(f"{word!r} is not one of {', '.join(known)}")
    return words


def plan(nets: list[str], measures: list[str], threads: int, compiled: bool) -> tuple[list[Job], list[Job], list[Job]]:
    """Return the jobs to time step by step, to start warm, and to start cold."""
    modes = (EAGER, CHANNELS_LAST, COMPILE) if compiled else (EAGER, CHANNELS_LAST)
    steps: dict[tuple[str, str, int, int], Job] = {}
    warm, cold = [], []

    def add(job: Job) -> None:  # the first to ask for a combination has the most contenders
        steps.setdefault((job.measure, job.net, job.batch, job.threads), job)

    for name in nets:
        net = NETS[name]
        if "training" in measures:
            add(Job("training", name, net.batch, threads, (OURS, *modes)))
        if "inference" in measures:
            add(Job("inference", name, net.batch, threads, (OURS, ONNX, *modes)))
        if "latency" in measures:
            add(Job("inference", name, 1, threads, (OURS, ONNX)))
        if "start" in measures:
            warm.append(Job("training", name, net.batch, threads, (OURS, EAGER, CHANNELS_LAST)))
        if "cold" in measures:
            cold.append(Job("training", name, net.batch, threads, (OURS, COMPILE)))
    combinations = [(n, b, threads) for n in nets for b in NETS[n].batches if "batches" in measures]
    if "threads" in measures:
        combinations += [(n, NETS[n].batch, t) for n in nets for t in counts(threads)]
    for name, batch, count in combinations:
        add(Job("training", name, batch, count, (OURS, EAGER, CHANNELS_LAST)))
        add(Job("inference", name, batch, count, (OURS, ONNX)))
    return list(steps.values()), warm, cold


def counts(threads: int) -> list[int]:
    """Return the numbers of threads to compare: powers of two, and all."""
    return [*(2**k for k in range(threads.bit_length()) if 2**k < threads), threads]


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for and return everything that was measured."""
    steps, warm, cold = plan(chosen.nets, chosen.only, chosen.threads, not chosen.no_compile)
    rooflines, load = [], os.getloadavg()[0]
    if "roofline" in chosen.only:
        sample = (chosen.threads, chosen.rounds, chosen.seconds, say)
        rooflines = roofline.same_limits([roofline.roofline(name, *sample) for name in chosen.nets])
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "settings": {key: getattr(chosen, key) for key in ("nets", "only", "rounds", "seconds", "threads", "clock")},
        "results": duels(chosen, steps, warm, cold) if steps or warm or cold else [],
        "rooflines": rooflines,
        "load": load,
    }


def duels(chosen: argparse.Namespace, steps: list[Job], warm: list[Job], cold: list[Job]) -> list[dict[str, Any]]:
    """Time cnnspec against its peers, whose environment is made when it is not there."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(peers_python(chosen.peers), Path(folder), chosen.clock)
        for job in steps:
            results.append(compare(shop, job, chosen.rounds, chosen.seconds, say))
        for job in warm:
            results.append(first_steps(shop, job, 3, False, say))
        for job in cold:
            results.append(first_steps(shop, job, 1, True, say))
    return results


def say(line: str) -> None:
    """Tell how far the run is."""
    print(line, file=sys.stderr, flush=True)


def publish(data: dict[str, Any]) -> None:
    """Write the tables into README.md and ROOFLINE.md, as far as they were measured, and draw the chart."""
    if data.get("rooflines"):
        (HERE / "ROOFLINE.md").write_text(roofline.markdown(data), encoding="utf-8")
    if not data["results"]:
        return
    readme = HERE / "README.md"
    readme.write_text(put_between_markers(readme.read_text(encoding="utf-8"), markdown(data)), encoding="utf-8")
    (HERE / "chart.svg").write_text(chart(data["results"]), encoding="utf-8")


def guard(results: list[dict[str, Any]]) -> int:
    """Print the guarded ratios; return 1 when one has fallen below its guard."""
    failed = 0
    for r in results:
        lowest = GUARDS.get((r["measure"], r["net"], r["batch"]))
        if lowest is None:
            continue
        q = ratio(r, "PyTorch" if r["measure"] == "training" else ONNX)
        ok = q.value >= lowest
        failed += not ok
        print(f"{'ok  ' if ok else 'SLOW'} {r['measure']:10} {r['net']:10} batch {r['batch']:3}: {q.value:.2f} "
              f"times {q.peer}, guard {lowest:.2f}")  # fmt: skip
    return 1 if failed else 0


def main() -> int:
    """Measure, keep, print, publish."""
    chosen = arguments()
    if chosen.report:
        data = json.loads(chosen.report.read_text())
    else:
        try:
            data = measure(chosen)
        except Disagreement as error:
            say(f"refused to time: {error}")
            return 1
        kept = HERE / "results" / time.strftime("%Y%m%d-%H%M%S.json")
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(data, indent=1))
        say(f"all numbers: {kept.relative_to(HERE.parent)}")
    if data["results"]:
        print(markdown(data))
    if data.get("rooflines"):
        print(roofline.markdown(data))
    if chosen.publish:
        publish(data)
    return guard(data["results"]) if chosen.quick else 0


if __name__ == "__main__":
    sys.exit(main())
