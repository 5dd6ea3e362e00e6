"""Rooflines: each layer's time beside its operations, its bytes, and what the machine reaches of both."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from .nets import NETS, load_model
from .report import Table, counted

Roofline = dict[str, Any]
DIRECTIONS = ("forward", "backward")
REPEATS = 20  # steps of a round, less where they take long


def roofline(name: str, threads: int, rounds: int, seconds: float, say: Callable[[str], None]) -> Roofline:
    """Return the profile of a net's training step at its standard batch; of the rounds the least time of each row."""
    from cnnspec.compiler import Compiler
    from cnnspec.options import Options
    from cnnspec.runtime.network import Network
    from cnnspec.runtime.profile import profile_network

    say(f"roofline of {name}")
    network = Network(Compiler.of(load_model(name), Options(batch=NETS[name].batch)), threads=threads)
    once = sum(row.seconds for row in profile_network(network, 1).rows)
    repeats = max(1, min(REPEATS, int(seconds / once)))
    return {"net": name, **profile_network(network, repeats, rounds).as_dict()}


def same_limits(found: list[Roofline]) -> list[Roofline]:
    """Return the rooflines under one pair of limits, since the machine is the same.

    Of multiply-adds the highest; of copies the median, since they vary with where in memory their arrays lie.
    """
    peak = max(r["peak_flops_per_second"] for r in found)
    limits = {
        "peak_flops_per_second": peak,
        "peak_bytes_per_second": median(r["peak_bytes_per_second"] for r in found),
    }
    for r in found:
        for layer in r["layers"]:
            for way in DIRECTIONS:
                if way in layer:
                    layer[way]["share_of_peak"] = layer[way]["flops_per_second"] / peak
    return [{**r, **limits} for r in found]


def table(r: Roofline) -> Table:
    """Return the table of one net: a row for each layer and direction, and their sums."""
    rows: list[tuple[str, ...]] = []
    for layer in r["layers"]:
        rows += [row(layer["name"], way, layer[way], r) for way in DIRECTIONS if way in layer]
    for way in DIRECTIONS:
        parts = [layer[way] for layer in r["layers"] if way in layer]
        total = {key: sum(p[key] for p in parts) for key in ("seconds", "flops", "bytes")}
        rows.append(row("**all**", way, {**total, "kernel": ""}, r))
    head = ("layer", "direction", "ms", "GFLOP/s", "of peak", "MB", "GB/s", "nearer limit", "longest kernel")
    return Table(NETS[r["net"]].title, f"Batch {r['batch']}, {counted(r['threads'])}.", head, rows)


def row(name: str, direction: str, t: dict[str, Any], r: Roofline) -> tuple[str, ...]:
    """Return one row; ``nearer limit`` is the one of which the layer reaches more, with its share."""
    flops, nbytes = (t[key] / t["seconds"] if t["seconds"] else 0.0 for key in ("flops", "bytes"))
    shares = {"multiply": flops / r["peak_flops_per_second"], "memory": nbytes / r["peak_bytes_per_second"]}
    nearer = max(shares, key=lambda limit: shares[limit])
    counts = (f"{flops / 1e9:.0f}", f"{100 * shares['multiply']:.0f} %") if t["flops"] else ("", "")
    megabytes = t["bytes"] / 1e6
    return (
        name, direction, f"{1e3 * t['seconds']:.3f}", *counts, f"{megabytes:.{2 if megabytes < 10 else 0}f}",
        f"{nbytes / 1e9:.1f}", f"{nearer} {100 * shares[nearer]:.0f} %", t["kernel"],
    )  # fmt: skip


def markdown(data: dict[str, Any]) -> str:
    """Return the page benchmarks/ROOFLINE.md."""
    m, s, first = data["machine"], data["settings"], data["rooflines"][0]
    peak, bandwidth = first["peak_flops_per_second"] / 1e9, first["peak_bytes_per_second"] / 1e9
    about = f"""# Rooflines

Each layer of the benchmark's nets in one training step, forward and backward: made by
`python -m benchmarks --only roofline --publish`. [docs/performance.md](../docs/performance.md) says how to read it.

- *ms*: work of all threads divided by their number; of {s["rounds"]} rounds the least. Backward holds both gradients
  and the optimizer's step.
- *GFLOP/s*: by the multiplications and additions of the direct method, so that Winograd may pass 100 % *of peak*.
- *MB*: what the layer's kernels must read and write at least, each byte once each way, from the extents of their
  operands. *GB/s* follows from it; above the memory's limit the bytes came from a cache.
- *nearer limit*: of multiply-adds and memory the one of which the layer reaches more.

Limits: {peak:.0f} GFLOP/s of multiply-adds in registers, {bandwidth:.1f} GB/s of copies in memory.

{m["cpu"]}, {m["cores"]} cores, {m["memory_gib"]} GiB, {m["system"]}; Python {m["python"]}, numba {m["numba"]}, llvmlite
{m["llvmlite"]}. cnnspec at {m["cnnspec"]}, {data["date"]}; load average before the run {data["load"]:.1f}.
"""
    return "\n".join([about, *(table(r).markdown() for r in data["rooflines"])])
