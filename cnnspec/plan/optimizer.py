"""Optimizer settings -> what a plan needs of them, and the numbers that the host sets before each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ir.graph import STEP
from ..model.settings import SGD, Adam, AdamW


@dataclass(frozen=True)
class Update:
    """What an optimizer is to a plan: a kernel, the names of its states and its fixed numbers."""

    kernel: str
    states: tuple[str, ...]
    numbers: tuple[int | float, ...]


def update_of(settings: Any) -> Update:
    """Return kernel, states and fixed numbers of an optimizer."""
    if isinstance(settings, SGD):
        numbers = (float(settings.momentum), int(settings.nesterov), float(settings.decay))
        return Update("sgd", ("velocity",), numbers)
    assert isinstance(settings, Adam)
    decoupled = int(isinstance(settings, AdamW))
    floats = (settings.beta1, settings.beta2, settings.eps, settings.decay)
    return Update("adam", ("mean", "square"), (*map(float, floats), decoupled))


def step_numbers(settings: Any, lr: float, step: int, samples: int) -> dict[int, float]:
    """Return what the input ``step`` holds: by place, the numbers of step 1, 2, ... on so many samples."""
    numbers = {STEP["inverse_batch"]: 1.0 / samples, STEP["lr"]: lr}
    if isinstance(settings, Adam):
        numbers[STEP["correction1"]] = 1.0 - settings.beta1**step
        numbers[STEP["correction2"]] = 1.0 - settings.beta2**step
    return numbers
