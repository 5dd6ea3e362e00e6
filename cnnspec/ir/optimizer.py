"""What an optimizer is to a plan: a kernel, the states it keeps, and its numbers."""

from __future__ import annotations

from typing import ClassVar


class Optimizer:
    """How a step changes a parameter. Fields of a subclass are what a spec may write.

    Attributes
    ----------
    kernel : the name of the kernel, without its element type.
    states : the names of the arrays that are kept beside each parameter. They have its shape, and begin as zeros.
    lr : the learning rate, before the schedule.
    """

    kernel: ClassVar[str]
    states: ClassVar[tuple[str, ...]] = ()
    lr: float

    @property
    def numbers(self) -> dict[str, int | float]:
        """Arguments of the kernel, by name, that are the same in every step."""
        return {}

    def step_numbers(self, step: int) -> tuple[float, ...]:
        """Return the numbers of step 1, 2, ... that the kernel reads behind the learning rate."""
        return ()
