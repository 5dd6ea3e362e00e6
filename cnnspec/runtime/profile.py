"""Where the time of a step goes: the CPU's clock around each kernel call, summed by layer and direction.

Beside each time stand the operations and the bytes of its kernels, and what the machine reaches of both when it does
nothing else: a roofline (Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model").
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..plan.plan import KernelCall
from ..plan.traffic import traffic
from .limits import measure_bandwidth, measure_peak
from .network import Network
from .runner import Runner

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True)
class LayerRow:
    """One layer in one direction, a step.

    Attributes
    ----------
    seconds : work of all threads, divided by their number.
    flops : multiplications and additions of the direct method, whichever the algorithm.
    nbytes : least bytes to read and write (plan/traffic.py).
    kernel : the kernel that took longest.
    """

    layer: str
    direction: str
    seconds: float = 0.0
    flops: int = 0
    nbytes: int = 0
    kernel: str = ""

    @property
    def flops_per_second(self) -> float:
        return self.flops / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_second(self) -> float:
        return self.nbytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Profile:
    """The step of a net, layer by layer, and the limits of the machine.

    Attributes
    ----------
    peak : FLOP/s of multiply-adds in registers.
    bandwidth : bytes/s of copies between arrays far larger than the caches, read and written.
    rows : in the order of the net; the copy of the samples under ``input``, what belongs to no layer under ``loss``.
    """

    batch: int
    threads: int
    exact: bool
    peak: float
    bandwidth: float
    rows: tuple[LayerRow, ...]

    @property
    def layers(self) -> dict[str, dict[str, LayerRow]]:
        """The rows by layer and direction."""
        found: dict[str, dict[str, LayerRow]] = {}
        for row in self.rows:
            found.setdefault(row.layer, {})[row.direction] = row
        return found

    def total(self, direction: str) -> LayerRow:
        """Return the sum over all layers in one direction."""
        rows = [row for row in self.rows if row.direction == direction]
        return LayerRow(
            "", direction, sum(r.seconds for r in rows), sum(r.flops for r in rows), sum(r.nbytes for r in rows)
        )

    def as_dict(self) -> dict[str, object]:
        """Return the measurement as JSON-ready values."""
        return {
            "batch": self.batch,
            "threads": self.threads,
            "exact": self.exact,
            "peak_flops_per_second": self.peak,
            "peak_bytes_per_second": self.bandwidth,
            "layers": [
                {
                    "name": name,
                    **{
                        direction: {
                            "seconds": row.seconds,
                            "flops": row.flops,
                            "flops_per_second": row.flops_per_second,
                            "share_of_peak": row.flops_per_second / self.peak,
                            "bytes": row.nbytes,
                            "bytes_per_second": row.bytes_per_second,
                            "kernel": row.kernel,
                        }
                        for direction, row in both.items()
                    },
                }
                for name, both in self.layers.items()
            ],
        }


def profile_network(network: Network, repeats: int = 20, rounds: int = 1) -> Profile:
    """Return the profile of training steps on random images; of several rounds the least time of each row.

    Weights and the optimizer's states stay as they are.
    """
    network.compile()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((network.batch, *network.model.input_shape), dtype=np.float32)
    y = rng.integers(0, network.model.output_shape[-1], network.batch).astype(np.int32)
    taken = []
    with network.turn:
        parameters, states = network.parameters(), network.optimizer_state()
        for _ in range(rounds):
            network.train_step(x, y, lr=0.0)
            taken.append(_profile_runner(network.training, len(x), repeats))
        network.load_parameters(parameters)
        network.load_optimizer_state(states)
    best = [min(rows, key=lambda row: row.seconds) for rows in zip(*taken, strict=True)]
    threads = network.training.threading.count
    peak, bandwidth = measure_peak(threads), measure_bandwidth(threads)
    order = {"input": -1, **{layer.name: i for i, layer in enumerate(network.model.layers)}}
    rows = sorted(best, key=lambda row: order.get(row.layer, len(order)))
    return Profile(network.batch, threads, network.compiler.options.exact, peak, bandwidth, tuple(rows))


def _profile_runner(runner: Runner, n: int, repeats: int) -> list[LayerRow]:
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
    groups: dict[tuple[str, str], list[tuple[KernelCall, float]]] = {}
    calls = [call for segment in runner.plan.segments for call in segment.calls]
    for call, spent in zip(calls, runner.spent.sum(axis=0), strict=True):
        key = (call.layer or "loss", BACKWARD if call.backward else FORWARD)
        groups.setdefault(key, []).append((call, float(spent) * per_tick))
    return [_row(layer, direction, timed, n) for (layer, direction), timed in groups.items()]


def _row(layer: str, direction: str, timed: Sequence[tuple[KernelCall, float]], n: int) -> LayerRow:
    by_kernel: dict[str, float] = {}
    for call, seconds in timed:
        by_kernel[call.kernel] = by_kernel.get(call.kernel, 0.0) + seconds
    calls = [call for call, _ in timed]
    return LayerRow(
        layer,
        direction,
        sum(by_kernel.values()),
        sum(call.flops for call in calls) * n,
        traffic(calls, n),
        max(by_kernel, key=lambda name: by_kernel[name]).rpartition(".")[0],
    )
