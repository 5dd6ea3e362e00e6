"""Results as tables of ratios: for the terminal, for README.md between its markers, and as a chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from .duel import COMPILE, ONNX, OURS, QUIET
from .nets import NETS

Result = dict[str, Any]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast cnnspec is as the fastest of some peers; above 1 is faster.

    ``value`` is the ratio of medians over rounds; ``low`` and ``high`` the extremes of single rounds.
    """

    peer: str
    value: float
    low: float
    high: float

    @property
    def spread(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f}"


def ratio(result: Result, peers: str, field: str = "seconds") -> Ratio:
    """Compare cnnspec with the best of the contenders whose names begin with ``peers``; less is better."""
    names = [name for name in result["contenders"] if name.startswith(peers) and name != OURS]
    numbers = {name: result["contenders"][name][field] for name in names}
    best = min(names, key=lambda name: median(numbers[name]))
    ours = result["contenders"][OURS][field]
    rounds = [b / a for a, b in zip(ours, numbers[best], strict=True)]
    return Ratio(best, median(numbers[best]) / median(ours), min(rounds), max(rounds))


def of(result: Result, name: str, field: str = "seconds") -> float:
    """Return the median of a contender's numbers."""
    return float(median(result["contenders"][name][field]))


def rate(result: Result, name: str) -> str:
    """Return a contender's images per second."""
    value = result["batch"] / of(result, name)
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs))


def counted(threads: int) -> str:
    """Return a number of threads in words."""
    return f"{threads} thread" + "s" * (threads != 1)


# ---- tables --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Table:
    """One table with the sentence above it."""

    title: str
    says: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """Return the table as Markdown, columns aligned so that it also reads well in a terminal."""
        cells = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.head))]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
        rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
        return f"### {self.title}\n\n{self.says}\n\n" + "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def tables(results: list[Result]) -> list[Table]:
    """Return all tables that the results can fill."""
    top = max((r["threads"] for r in results), default=1)

    def pick(measure: str, fits: Callable[[Result], bool] = lambda r: True) -> list[Result]:
        return [r for r in results if r["measure"] == measure and r["threads"] == top and fits(r)]

    def standard(r: Result) -> bool:
        return r["batch"] == NETS[r["net"]].batch

    made = []
    if found := pick("training", standard):
        made.append(rates("Training", "PyTorch", "Target: 3.0 in the geometric mean, none under 1.5.", found))
    if found := [r for r in pick("inference", standard) if ONNX in r["contenders"]]:
        made.append(rates("Inference", ONNX, "Target: 2.0 in the geometric mean, none under 1.2.", found))
        if against := [r for r in found if any(n.startswith("PyTorch") for n in r["contenders"])]:
            made.append(rates("Inference against PyTorch", "PyTorch", "No target; for completeness.", against))
    if found := pick("inference", lambda r: r["batch"] == 1 and ONNX in r["contenders"]):
        made.append(latency(found))
    if found := pick("start"):
        made.append(starts("First training step, warm", "From the shell, caches warm. Target: 0.4.", found))
        made.append(memory(found))
    if found := pick("cold start"):
        made.append(starts("First training step ever", "From the shell, empty caches. Target: 1.0.", found))
    made += [table for table in (scaling(results, top), threads(results)) if table is not None]
    return made


def rates(title: str, peers: str, says: str, found: list[Result]) -> Table:
    """Return images per second against the fastest peer, with the geometric mean."""
    rows, values = [], []
    for r in found:
        q = ratio(r, peers)
        values.append(q.value)
        row = (NETS[r["net"]].title, str(r["batch"]), rate(r, OURS), rate(r, q.peer), q.peer, f"**{q.value:.2f}**")
        rows.append((*row, q.spread))
    if len(found) > 1:
        rows.append(("geometric mean", "", "", "", "", f"**{geometric_mean(values):.2f}**", ""))
    head = ("net", "batch", "cnnspec, images/s", "best peer, images/s", "best peer", "ratio", "rounds")
    return Table(title, f"Images per second, {counted(found[0]['threads'])}. {says}", head, rows)


def latency(found: list[Result]) -> Table:
    """Return the time of one image."""
    rows = []
    for r in found:
        q = ratio(r, ONNX)
        how = r["contenders"][ONNX]["variant"]
        ours, peer = (f"{1e3 * of(r, name):.3f}" for name in (OURS, ONNX))
        spread = f"{1 / q.high:.2f} to {1 / q.low:.2f}"
        rows.append((NETS[r["net"]].title, ours, peer, how, f"**{1 / q.value:.2f}**", spread))
    says = "One image at a time, share of onnxruntime's time. Target: 0.8 or less on every net."
    return Table("Latency", says, ("net", "cnnspec, ms", "onnxruntime, ms", "its fastest way", "share", "rounds"), rows)


def starts(title: str, says: str, found: list[Result]) -> Table:
    """Return seconds from the shell to the end of the first training step."""
    rows = []
    for r in found:
        q = ratio(r, "PyTorch")
        numbers = (f"{of(r, OURS):.2f}", f"{of(r, q.peer):.2f}", q.peer, f"**{1 / q.value:.2f}**")
        rows.append((NETS[r["net"]].title, *numbers))
    return Table(title, says, ("net", "cnnspec, s", "best PyTorch, s", "its mode", "share"), rows)


def memory(found: list[Result]) -> Table:
    """Return the peak memory of a training process."""
    rows = []
    for r in found:
        q = ratio(r, "PyTorch", "peak_bytes")
        ours, peer = (f"{of(r, name, 'peak_bytes') / 2**20:,.0f}" for name in (OURS, q.peer))
        rows.append((NETS[r["net"]].title, str(r["batch"]), ours, peer, q.peer, f"**{1 / q.value:.2f}**"))
    head = ("net", "batch", "cnnspec, MiB", "PyTorch, MiB", "its leanest mode", "share")
    return Table("Peak memory of a training process", "Target: 0.5 or less.", head, rows)


def scaling(results: list[Result], top: int) -> Table | None:
    """Return how images per second grow with the batch."""
    rows = []
    for net in (name for name, n in NETS.items() if n.batches):
        for measure, peers in (("training", "PyTorch"), ("inference", ONNX)):
            found = [
                r for r in results if (r["measure"], r["net"], r["threads"]) == (measure, net, top)
                and any(n.startswith(peers) for n in r["contenders"])
            ]  # fmt: skip
            if len(found) < 2:
                continue
            for r in sorted(found, key=lambda r: r["batch"]):
                q = ratio(r, peers)
                numbers = (rate(r, OURS), rate(r, q.peer), q.peer, f"{q.value:.2f}")
                rows.append((NETS[net].title, measure, str(r["batch"]), *numbers))
    head = ("net", "measure", "batch", "cnnspec, images/s", "best peer, images/s", "best peer", "ratio")
    says = f"How cost grows with work, {counted(top)}."
    return Table("Batch sizes", says, head, rows) if rows else None


def threads(results: list[Result]) -> Table | None:
    """Return how images per second grow with threads."""
    groups: dict[tuple[str, str], dict[int, Result]] = {}
    for r in results:
        if r["measure"] in ("training", "inference") and r["batch"] == NETS[r["net"]].batch:
            groups.setdefault((r["net"], r["measure"]), {})[r["threads"]] = r
    rows = []
    for (net, measure), by_count in groups.items():
        peers = "PyTorch" if measure == "training" else ONNX
        single = by_count.get(1)
        if single is None or len(by_count) < 2:
            continue
        first = ratio(single, peers)
        for count, r in sorted(by_count.items()):
            q = ratio(r, peers)
            gain, theirs = of(single, OURS) / of(r, OURS), of(single, first.peer) / of(r, q.peer)
            numbers = (rate(r, OURS), f"{gain:.2f}", rate(r, q.peer), f"{theirs:.2f}", f"{q.value:.2f}")
            rows.append((NETS[net].title, measure, str(count), *numbers))
    head = ("net", "measure", "threads", "cnnspec, images/s", "gain", "best peer, images/s", "its gain", "ratio")
    return Table("Threads", "The gain from threads, over one.", head, rows) if rows else None


# ---- the report ----------------------------------------------------------------------------------
def markdown(data: dict[str, Any]) -> str:
    """Return the whole report: machine, tables, and what disturbed the run."""
    m, s = data["machine"], data["settings"]
    peers = sorted({c["about"] for r in data["results"] for c in r["contenders"].values()} - {OURS})
    clock = "processor time, not wall time" if s["clock"] == "cpu" else "wall time"
    lines = [
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, {m['system']}; Python {m['python']}, "
        f"numba {m['numba']}, llvmlite {m['llvmlite']}, numpy {m['numpy']}; {', '.join(peers)}. "
        f"cnnspec at {m['cnnspec']}, {data['date']}. Float32. {s['rounds']} rounds of {s['seconds']} s for each "
        f"contender in turn, {clock}; medians; “rounds” are the lowest and highest ratio of a single round.",
        "",
        noise(data["results"]),
        "",
        *([] if any(COMPILE in r["contenders"] for r in data["results"]) else ["torch.compile was left out.", ""]),
    ]
    return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in tables(data["results"]))


def noise(results: list[Result]) -> str:
    """Return one sentence about what else used the cores."""
    measured = [r["noise"] for r in results if "noise" in r]
    if not measured:
        return ""
    others = [n["other_processes"] for n in measured]
    waiting = max(n["waiting_contenders"] for n in measured)
    verdict = "a quiet machine" if max(others) < QUIET else "not a quiet machine: take the ratios as rough"
    return (
        f"While contenders were timed, other processes used {100 * max(0, min(others)):.0f} to "
        f"{100 * max(others):.0f} % of the cores ({verdict}); contenders that waited for their turn used at most "
        f"{100 * waiting:.0f} % of one core."
    )


def put_between_markers(text: str, report: str, name: str = "results") -> str:
    """Return a README with the report between its markers. Raises ValueError when they are missing."""
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"no {begin} ... {end}")
    return f"{before}{begin}\n{report.strip()}\n{end}{after}"


# ---- the chart -----------------------------------------------------------------------------------
def chart(results: list[Result]) -> str:
    """Return an SVG of the ratios of training and inference at the standard batch, a bar for each net."""
    top = max(r["threads"] for r in results)
    bars: list[tuple[str, str, float]] = []
    for measure, peers in (("training", "PyTorch"), ("inference", ONNX)):
        for r in results:
            if r["measure"] == measure and r["threads"] == top and r["batch"] == NETS[r["net"]].batch:
                bars.append((measure, NETS[r["net"]].title, ratio(r, peers).value))
    left, row, right = 230, 24, 60
    unit = 480 / max(4.0, *(b[2] for b in bars)) if bars else 100
    height = 50 + row * len(bars)
    colours = {"training": "#2b6cb0", "inference": "#b7791f"}
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 480 + right}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="18">Times as fast as the best peer: '
        f'<tspan fill="{colours["training"]}">training against PyTorch</tspan>, '
        f'<tspan fill="{colours["inference"]}">inference against onnxruntime</tspan></text>',
    ]
    for i, (measure, title, value) in enumerate(bars):
        y = 34 + row * i
        out += [
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(title)}</text>',
            f'<rect x="{left}" y="{y}" width="{unit * value:.1f}" height="{row - 7}" fill="{colours[measure]}"/>',
            f'<text x="{left + unit * value + 6:.1f}" y="{y + 13}">{value:.2f}</text>',
        ]
    out.append(f'<line x1="{left + unit:.1f}" x2="{left + unit:.1f}" y1="28" y2="{height - 12}" stroke="black"/>')
    return "\n".join([*out, "</svg>", ""])
