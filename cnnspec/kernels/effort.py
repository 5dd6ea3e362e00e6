"""How long kernels take to compile, so that a person who waits is told how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

# kernels compiled, of how many, and the seconds left as far as is known
Progress = Callable[[int, int, float], None]

# Seconds of kernels of a family on the machine where they were measured (two cores with AVX2, alone); the others
# take about OTHERS. Only their proportions matter: the pace of this machine comes from the kernels done.
SECONDS = {
    "add": 0.5,
    "affine": 0.4,
    "activation": 0.5,
    "adam": 0.2,
    "conv2d": 1.0,
    "conv2d_overlap": 0.4,
    "conv2d_row": 0.4,
    "conv2d_narrow": 0.25,
    "conv2d_weight_grad": 2.0,
    "conv2d_weight_grad_narrow": 1.1,
    "depthwise": 0.4,
    "depthwise_window": 0.35,
    "depthwise_weight_grad_window": 0.35,
    "flip_filters": 0.4,
    "winograd_conv2d": 1.3,
    "winograd_dy": 0.4,
    "winograd_input": 0.45,
    "winograd_panel": 1.3,
    "winograd_panel_turned": 1.2,
    "winograd_weight_grad": 1.0,
    "winograd_weight_panel": 0.4,
    "walk": 0.4,
}
OTHERS = 0.15
LOADING = 0.6  # of the compiler itself, before the first kernel


def seconds_of(name: str) -> float:
    """Return about how long a kernel takes to compile on the machine of :data:`SECONDS`."""
    return SECONDS.get(name.partition(".")[0], OTHERS)


class Estimate:
    """The seconds that are left while kernels compile, in that order, at the pace of those that are done.

    Until some seconds' worth is done, the pace is mixed with a guess: one slow file must not make an hour of a minute.
    """

    PRIOR = 1.0  # seconds of work that count as done at the guessed pace
    PACE = 2.0  # the guess, as a multiple of :data:`SECONDS`: others wait longer, and work beside the compiler

    def __init__(self, names: Sequence[str], processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._coming = [LOADING + seconds_of(names[0]) / processes, *(seconds_of(n) / processes for n in names[1:])]
        self._clock, self._start = clock, clock()

    def left(self, done: int) -> float:
        """Return the seconds left after ``done`` of the kernels."""
        worked, coming = sum(self._coming[:done]), sum(self._coming[done:])
        taken = self._clock() - self._start if done else 0.0
        return coming * (taken + self.PRIOR * self.PACE) / (worked + self.PRIOR)
