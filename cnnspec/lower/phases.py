"""The phases of an input gradient: with a stride, neighbouring pixels of dx see different taps of a filter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from ..ir.fields import Pair, Shape


@dataclass(frozen=True)
class Phase:
    """The rows (or columns) of dx that see the same taps: first, first + stride, ..."""

    first: int  # first row of dx
    count: int  # rows of dx
    tap: int  # first tap that reaches it
    tap_step: int  # from one such tap to the next
    taps: int
    start: int  # row of dy that the last of these taps (the first after flipping) reads for the first row of dx
    dilation: int  # rows of dy between two taps


def phases(size: int, kernel: int, stride: int, pad: int, dilation: int) -> Iterator[Phase]:
    """Yield the phases of one axis: dx[i] = sum over taps r with (i + pad - r*dilation) divisible by the stride."""
    g = math.gcd(stride, dilation)
    tap_step, step = stride // g, dilation // g
    for residue in range(stride):
        first = (residue - pad) % stride
        count = -(-(size - first) // stride) if first < size else 0
        reaching = [r for r in range(min(kernel, tap_step)) if (first + pad - r * dilation) % stride == 0]
        if not count:
            continue
        if not reaching:
            yield Phase(first, count, 0, tap_step, 0, 0, step)
            continue
        tap = reaching[0]
        taps = -(-(kernel - tap) // tap_step)
        last = tap + (taps - 1) * tap_step
        yield Phase(first, count, tap, tap_step, taps, (first + pad - last * dilation) // stride, step)


def phases_of(x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Iterator[tuple[Phase, Phase]]:
    """Yield the phases of rows and of columns, each of the one with each of the other."""
    rows, columns = (list(phases(x[a], kernel[a], stride[a], padding[a], dilation[a])) for a in (0, 1))
    return product(rows, columns)


def phase_halo(x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, dy: Shape) -> Pair:
    """Return the rows and columns of zeros around dy that the phases of an input gradient read."""
    halo = []
    for axis in (0, 1):
        need = 0
        for p in phases(x[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]):
            if p.taps:
                end = p.start + (p.count - 1) + (p.taps - 1) * p.dilation
                need = max(need, -p.start, end - (dy[axis] - 1))
        halo.append(need)
    return halo[0], halo[1]
