"""The interface of optimizers: a kernel, state arrays, and the kernel's numbers."""

from __future__ import annotations

from typing import ClassVar


class Optimizer:
    """The update of a parameter in a training step. A spec may set the fields of a subclass.

    Attributes
    ----------
    kernel : the name of the kernel, without its element type.
    states : names of the state arrays of each parameter. They have the parameter's shape and begin as zeros.
    lr : the learning rate, before the schedule.
    """

    kernel: ClassVar[str]
    states: ClassVar[tuple[str, ...]] = ()
    lr: float

    @property
    def numbers(self) -> dict[str, int | float]:
        """The kernel's constant arguments, name -> number: they are the same in every step."""
        return {}

    def step_numbers(self, step: int) -> tuple[float, ...]:
        """Return the kernel's numbers of one step (``step`` is 1, 2, ...), which it reads behind the learning rate."""
        return ()
