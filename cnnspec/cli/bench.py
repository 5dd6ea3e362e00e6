"""``cnnspec bench``: where the time of a training step goes, layer by layer, and how near the peak it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import Options
from ..text import as_tree, columns, short, some, span_of_time, table, to_json
from . import render
from .target import exact_option, json_option, open_target, set_option, threads_option

if TYPE_CHECKING:
    from ..runtime.profile import LayerRow


@click.command(name="bench")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Images a step; the spec's batch unless said.")
@click.option("--repeats", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Steps timed.")
@threads_option
@exact_option
@set_option
@json_option
def command(
    target: Path,
    batch: int | None,
    repeats: int,
    threads: int | None,
    options: Options,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Time each layer of SPEC on random images: forward, and backward with the step of the optimizer.

    First this machine's limits are measured: multiply-adds that never leave the registers, and copies of memory. A
    layer's share of the first is `peak` (above 100 % where Winograd saves multiplications), `MB` is the least that
    it must read and write: what only moves numbers (pooling, batch norm) is as fast as memory and caches are.

    \b
      cnnspec bench net.cnn
      cnnspec bench net.cnn --batch 1 --threads 1
    """
    from ..runtime.network import Network
    from ..runtime.profile import BACKWARD, FORWARD, profile_network
    from .progress import CompileView

    opened = open_target(target, sets, options)
    model = opened.model
    size = batch or model.train.batch
    network = Network(opened.compiler.with_options(batch=size), threads=threads)
    with CompileView() as view:
        network.compile(view)
    found = profile_network(network, repeats)
    if as_json:
        render.show(to_json(found.as_dict()))
        return
    how = f"batch {size}, {some(found.threads, 'thread')}{', exact' if found.exact else ''}"
    render.say(f"{model.source.name}: {how}")
    render.say(f"limits: {short(found.peak, 'FLOP/s')}, memory {short(found.bandwidth, 'B/s')}")
    render.say()
    directions = (FORWARD, BACKWARD)
    rows = [
        [name, *chain(*(layer_cells(both.get(direction), found.peak) for direction in directions))]
        for name, both in found.layers.items()
    ]
    head = ("Layer", *(title for direction in directions for title in (direction, "GFLOP/s", "peak", "MB")))
    render.print_table(fitting(head, rows, render.width()), closed=True)
    totals = [found.total(direction) for direction in directions]
    step = sum(t.seconds for t in totals)
    for t in totals:
        part = 100 * t.seconds / step if step else 0.0
        reached = f"{short(t.flops_per_second, 'FLOP/s')}, {100 * t.flops_per_second / found.peak:.0f} % of peak"
        render.say(
            f"{t.direction:<9} {span_of_time(t.seconds):>8}  {part:3.0f} % of the step  {reached}, "
            f"{short(t.bytes_per_second, 'B/s')}",
            hang=20,
        )
    if step:
        render.say(f"{'step':<9} {span_of_time(step):>8}  {short(size / step)} images/s")


def fitting(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the table with full names where there is room, else as a tree, else with fewer columns of numbers."""
    tree, align = as_tree(rows), "l" + "r" * (len(head) - 1)
    for shown, gap in ((rows, 2), (rows, 1), (tree, 1)):
        lines = table(head, shown, align, gap=gap)
        if max(map(columns, lines)) <= width:
            return lines
    few = [i for i, title in enumerate(head) if title not in ("GFLOP/s", "MB")]
    return table([head[i] for i in few], [[row[i] for i in few] for row in tree], align[: len(few)], width=width)


def layer_cells(row: LayerRow | None, peak: float) -> tuple[str, str, str, str]:
    """Return time, GFLOP/s, share of the peak and MB of a layer in one direction."""
    if row is None or not row.seconds:
        return ("-",) * 4
    rate = row.flops_per_second
    reached = (short(rate / 1e9), f"{100 * rate / peak:.0f} %") if row.flops else ("-", "-")
    return span_of_time(row.seconds), *reached, short(row.nbytes / 1e6)
