"""``cnnspec bench``: where the time of a training step goes, layer by layer, and how near the peak it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ..text import short, span_of_time, table, to_json
from .target import exact_option, open_target, set_option, threads_option


@dataclass
class LayerTime:
    """Seconds and floating-point operations of one layer in one direction, for a whole batch."""

    seconds: float = 0.0
    flops: float = 0.0

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.flops / self.seconds if self.seconds > 0 else 0.0


@click.command(name="bench")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Images a step; the spec's batch unless said.")
@click.option("--repeats", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Steps timed.")
@threads_option
@exact_option
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    target: Path,
    batch: int | None,
    repeats: int,
    threads: int | None,
    exact: bool,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Time each layer of SPEC on random images: forward, and backward with the step of the optimizer.

    The share of peak compares a layer's multiply-adds with what this machine reaches when it does nothing
    else, measured first. Layers that only move numbers (pooling, batch norm) have a small share by nature.

    \b
      cnnspec bench net.cnn
      cnnspec bench net.cnn --batch 1 --threads 1
    """
    from ..runtime.threads import choose
    from . import render

    opened = open_target(target, sets, exact)
    model = opened.model
    size = batch or model.train.batch
    found = measure(model, size, repeats, threads, opened.compiler.exact)
    from ..kernels.cache import use_cache

    use_cache()
    from ..kernels.peak import measure_peak

    count = choose(threads).count
    peak = measure_peak(count)
    if as_json:
        click.echo(to_json(as_dict(found, size, count, peak, opened.compiler.exact)))
        return
    render.say(
        f"{model.source.name}: batch {size}, {count} thread{'s' if count > 1 else ''}, peak {short(peak, 'FLOP/s')}"
    )
    render.say()
    rows = []
    for name, both in found.items():
        row = [name]
        for direction in ("forward", "backward"):
            t = both.get(direction, LayerTime())
            rate = short(t.rate / 1e9) if t.flops else "-"
            share = f"{100 * t.rate / peak:.0f} %" if t.flops else "-"
            row += [span_of_time(t.seconds) if t.seconds else "-", rate, share]
        rows.append(row)
    head = ("Layer", "forward", "GFLOP/s", "of peak", "backward", "GFLOP/s", "of peak")
    lines = table(head, rows, "lrrrrrr", width=render.width())
    render.print_table(lines)
    render.rule(max(map(len, lines)))
    forward, backward = total(found, "forward"), total(found, "backward")
    both_ways = forward.seconds + backward.seconds
    for title, t in (("forward", forward), ("backward", backward)):
        part = 100 * t.seconds / both_ways if both_ways else 0.0
        reached = f"{short(t.rate, 'FLOP/s')}, {100 * t.rate / peak:.0f} % of peak"
        render.say(f"{title:<9} {span_of_time(t.seconds):>8}  {part:3.0f} % of the step  {reached}")
    if both_ways:
        render.say(f"{'step':<9} {span_of_time(both_ways):>8}  {short(size / both_ways)} images/s")


Times = dict[str, dict[str, LayerTime]]


def measure(model: object, batch: int, repeats: int, threads: int | None, exact: bool = False) -> Times:
    """Return the times of each layer, by name and direction, in the order of the net."""
    import numpy as np

    from ..runtime.network import Network

    network = Network(model, batch=batch, threads=threads, exact=exact)  # type: ignore[arg-type]
    network.compile()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *network.model.input_shape), dtype=np.float32)
    classes = network.model.output_shape[-1]
    y = rng.integers(0, classes, batch).astype(np.int32)
    found: Times = {layer.name: {} for layer in network.model.layers}
    for row in network.profile(x, y, repeats):
        t = found.setdefault(row.layer or "loss", {}).setdefault(row.direction, LayerTime())
        t.seconds += row.seconds
        t.flops += row.flops
    return {name: both for name, both in found.items() if both}


def total(found: Times, direction: str) -> LayerTime:
    """Return the sum over all layers in one direction."""
    times = [both[direction] for both in found.values() if direction in both]
    return LayerTime(sum(t.seconds for t in times), sum(t.flops for t in times))


def as_dict(found: Times, batch: int, threads: int, peak: float, exact: bool) -> dict[str, object]:
    """Return the measurement as JSON-ready values."""
    return {
        "batch": batch,
        "threads": threads,
        "exact": exact,
        "peak_flops_per_second": peak,
        "layers": [
            {
                "name": name,
                **{
                    direction: {
                        "seconds": t.seconds,
                        "flops": t.flops,
                        "flops_per_second": t.rate,
                        "share_of_peak": t.rate / peak,
                    }
                    for direction, t in both.items()
                },
            }
            for name, both in found.items()
        ],
    }
