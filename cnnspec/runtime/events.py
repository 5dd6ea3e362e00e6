"""The events of training: one class to listen with, so that the loop neither prints nor knows a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Diagnostic

if TYPE_CHECKING:
    from ..model.model import Model
    from .data import Dataset


@dataclass(frozen=True)
class RunInfo:
    """The facts of a run that are known when training starts.

    ``epoch`` and ``step`` are where it starts (1 and 0, more after ``--resume``). A run folder is made only
    when the kernels are there; ``TrainResult.folder`` names it.
    """

    model: Model
    dataset: Dataset
    epochs: int
    steps_per_epoch: int
    epoch: int = 1
    step: int = 0
    resumed: bool = False
    history: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True)
class TrainResult:
    """The results of a run.

    Attributes
    ----------
    status : ``finished``, ``early_stop``, or ``interrupted`` (by a signal or ``stop_after_steps``).
    folder : the run folder, or None where nothing was written.
    history : one row for each finished epoch: ``epoch``, ``lr``, ``train.loss``, ``train.accuracy``,
        ``val.loss``, ``val.accuracy``, ``seconds``, ``waiting`` (the share of the seconds that waited for batches).
    best : {"metric", "value", "epoch"} where the spec says ``keep best``; ``network`` then holds its weights.
    test : ``test.loss`` and ``test.accuracy``, empty without a test split or when interrupted.
    unmet : a diagnostic for each ``expect`` line of the spec that does not hold; empty where they are not judged.
    not_judged : why ``expect`` lines are not judged: the training was another than the spec's, or was interrupted;
        "" where they are.
    notes : what was told through ``Reporter.on_note``, in order.
    signal : the number of the signal that interrupted it: Ctrl-C (SIGINT), SIGTERM, SIGHUP; 0 where none did.
    network : the trained network.
    """

    status: str
    folder: Path | None
    history: tuple[dict[str, Any], ...]
    best: dict[str, Any] | None
    test: dict[str, float]
    unmet: tuple[Diagnostic, ...]
    seconds: float
    network: Any = field(repr=False)
    dataset: Dataset = field(repr=False)
    not_judged: str = ""
    notes: tuple[str, ...] = ()
    signal: int = 0

    @property
    def ok(self) -> bool:
        """True unless an ``expect`` line failed."""
        return not self.unmet


class Reporter:
    """Listens to a run, and does nothing: a base for reporters of some events or of all.

    Calls come in order, all from the thread that trains.
    """

    def on_start(self, info: RunInfo) -> None:
        """Training is about to start."""

    def on_compile(self, done: int, total: int, left: float) -> None:
        """A kernel was compiled; called only where the machine has no compiled copy yet.

        ``left`` is an estimate of the seconds that the others take.
        """

    def on_step(
        self,
        epoch: int,
        step: int,
        steps: int,
        images: int,
        loss: float,
        accuracy: float,
        seconds: float,
        waiting: float,
    ) -> None:
        """Tell how an epoch goes: means over its first ``step`` of ``steps`` steps.

        Called at most about twenty times a second, and after the last step. ``images`` and ``seconds`` are
        those of the epoch so far, ``waiting`` is the share of the seconds in which the net waited for its batches.
        """

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        """Tell that an epoch is over, with its row of metrics.jsonl."""

    def on_note(self, text: str) -> None:
        """Tell something that a person should know."""

    def on_end(self, result: TrainResult) -> None:
        """Training ended, by itself or by Ctrl-C; errors are raised instead."""
