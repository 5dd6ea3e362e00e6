"""Where the time of a step goes: the CPU's clock around each kernel call, summed by layer and direction."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .runner import Runner

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True)
class LayerRow:
    """One layer in one direction, a step: ``seconds`` of work divided by the threads, ``flops`` of its kernels."""

    layer: str
    direction: str
    seconds: float
    flops: int


def profile_runner(runner: Runner, n: int, repeats: int) -> list[LayerRow]:
    """Run a plan ``repeats`` times on ``n`` samples and return a row for each layer and direction, in plan order."""
    runner.run(n)
    runner.spent[:] = 0
    from ..kernels.load import read_ticks

    read_ticks()
    ticks, seconds = read_ticks(), time.perf_counter()
    for _ in range(repeats):
        runner.run(n, profile=True)
    ticks, seconds = read_ticks() - ticks, time.perf_counter() - seconds
    per_tick = seconds / ticks / repeats / runner.threading.count
    rows: dict[tuple[str, str], tuple[float, int]] = {}
    calls = [call for segment in runner.plan.segments for call in segment.calls]
    for call, spent in zip(calls, runner.spent.sum(axis=0), strict=True):
        key = (call.layer, BACKWARD if call.backward else FORWARD)
        old = rows.get(key, (0.0, 0))
        rows[key] = (old[0] + float(spent) * per_tick, old[1] + call.flops * n)
    return [LayerRow(layer, direction, *numbers) for (layer, direction), numbers in rows.items()]
