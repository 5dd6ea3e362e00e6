"""What training tells the outside: one protocol, so that the loop neither prints nor knows a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..model.model import Model
    from .data import Dataset
    from .train import TrainResult


@dataclass(frozen=True)
class RunInfo:
    """What is known when training starts.

    ``epoch`` and ``step`` are where it starts (1 and 0, more after ``--resume``). A run folder is made only
    when the kernels are there; ``TrainResult.folder`` names it.
    """

    model: Model
    dataset: Dataset
    epochs: int
    steps_per_epoch: int
    batch: int
    threads: int | None
    epoch: int = 1
    step: int = 0
    resumed: bool = False
    history: tuple[Mapping[str, Any], ...] = field(default=())


class Reporter(Protocol):
    """Listens to a run. Calls come in order, all from the thread that trains."""

    def on_start(self, info: RunInfo) -> None:
        """Training is about to start."""

    def on_compile(self, done: int, total: int) -> None:
        """A kernel was compiled; called only where the machine has no compiled copy yet."""

    def on_step(
        self, epoch: int, step: int, steps: int, images: int, loss: float, accuracy: float, seconds: float
    ) -> None:
        """Tell how an epoch goes: means over its first ``step`` of ``steps`` steps.

        Called at most about twenty times a second, and after the last step. ``images`` and ``seconds`` are
        those of the epoch so far.
        """

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Tell that an epoch is over, with its row of metrics.jsonl."""

    def on_note(self, text: str) -> None:
        """Tell something that a person should know."""

    def on_end(self, result: TrainResult) -> None:
        """Training ended, by itself or by Ctrl-C; errors are raised instead."""


class Silent:
    """A reporter that says nothing; also a base for those that care for some events only."""

    def on_start(self, info: RunInfo) -> None: ...

    def on_compile(self, done: int, total: int) -> None: ...

    def on_step(
        self, epoch: int, step: int, steps: int, images: int, loss: float, accuracy: float, seconds: float
    ) -> None: ...

    def on_epoch(self, row: Mapping[str, Any]) -> None: ...

    def on_note(self, text: str) -> None: ...

    def on_end(self, result: TrainResult) -> None: ...
