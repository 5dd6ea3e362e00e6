"""A training run as a person follows it: a line that lives in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..text import bar, count, duration, percent, some
from . import render

if TYPE_CHECKING:
    from ..runtime.events import RunInfo, TrainResult

PLAIN_EVERY = 30.0  # seconds between two lines of one epoch where nothing can be redrawn

# title, width and text of each column of the table of epochs
COLUMNS: tuple[tuple[str, int, Callable[[Mapping[str, Any], RunInfo], str]], ...] = (
    ("epoch", 7, lambda row, info: f"{row['epoch']}/{info.epochs}"),
    ("loss", 7, lambda row, info: number(row.get("train.loss"))),
    ("accuracy", 8, lambda row, info: percent(row.get("train.accuracy"))),
    ("val loss", 8, lambda row, info: number(row.get("val.loss"))),
    ("val acc", 8, lambda row, info: percent(row.get("val.accuracy"))),
    ("lr", 8, lambda row, info: f"{row['lr']:.3g}"),
    ("images/s", 8, lambda row, info: speed(row, info)),
    ("time", 7, lambda row, info: duration(row.get("seconds", 0.0))),
)


def number(x: float | None) -> str:
    """Return a loss in at most seven signs, a hyphen for None."""
    if x is None:
        return "-"
    return f"{x:.4f}" if abs(x) < 100 else f"{x:.4g}"


def speed(row: Mapping[str, Any], info: RunInfo) -> str:
    """Return the training images per second of an epoch's row."""
    seconds = row.get("seconds", 0.0)
    return count(round(len(info.dataset.train) / seconds)) if seconds else "-"


class TrainingView:
    """A :class:`~cnnspec.runtime.events.Reporter` that shows a run; ``quiet`` leaves only what must be known.

    Where stdout is no terminal (or TERM is dumb, or CI is set) nothing is redrawn: each epoch is one line.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live: render.LiveLine | None = None
        self.info: RunInfo | None = None
        self.headed = False
        self.earlier: list[Mapping[str, Any]] = []  # epochs before a resumed run went on
        self.with_val = False
        self.best: float | None = None
        self.state = ""
        self.how_often = ""
        self.told = time.monotonic()

    def __enter__(self) -> TrainingView:
        if not self.quiet and not render.is_plain():
            self.live = render.LiveLine(lambda: self.state)
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live:
            self.live.stop()
            self.live = None

    # ---- the run's events -----------------------------------------------------------------------
    def on_start(self, info: RunInfo) -> None:
        self.info = info
        self.with_val = info.dataset.val is not None
        model, data = info.model, info.dataset
        parts = [f"{count(len(data.train))} training"]
        parts += [f"{count(len(data.val))} validation"] if data.val is not None else []
        parts += [f"{count(len(data.test))} test"] if data.test is not None else []
        targets = math.prod(data.train.labels.shape[1:])
        weights = sum(p.size for p in model.params.values() if p.trainable)
        lines = [
            f"{model.source.name}: {count(weights)} weights to learn, {some(info.epochs, 'epoch')} of "
            f"{some(info.steps_per_epoch, 'step')}",
            f"{data.name}: {', '.join(parts)} images, "
            + (some(data.classes, "class") if data.train.labels.ndim == 1 else f"targets of {some(targets, 'number')}"),
        ]
        if info.resumed and info.epoch > info.epochs:
            lines.append(f"nothing is left to train; to go on: --epochs {2 * info.epochs}")
        elif info.resumed:
            lines.append(f"going on from epoch {info.epoch}, step {info.step}")
        if not self.quiet:
            for line in lines:
                render.say(line)
        self.earlier = list(info.history)
        self.state = "getting ready"

    def on_compile(self, done: int, total: int) -> None:
        self.state = f"compiling kernels {done}/{total}, {self._how_often()}"
        if self.live is None and not self.quiet and (done in (1, total) or self._due()):
            render.say(self.state)

    def _how_often(self) -> str:
        from ..kernels import cache

        if not self.how_often:
            kept = cache.use_cache() == str(cache.cache_dir())
            self.how_often = "once per machine" if kept else "anew each time: see  cnnspec doctor"
        return self.how_often

    def on_step(
        self, epoch: int, step: int, steps: int, images: int, loss: float, accuracy: float, seconds: float
    ) -> None:
        assert self.info is not None
        rate = images / seconds if seconds > 0 else 0.0
        left = (steps - step) + (self.info.epochs - epoch) * self.info.steps_per_epoch
        each = seconds / step if step else 0.0
        columns = shutil.get_terminal_size((80, 24)).columns
        acc = "" if math.isnan(accuracy) else f"acc {100 * accuracy:.1f} %  "
        words = f"loss {number(loss)}  {acc}{count(round(rate))} images/s  {duration(left * each)} left"
        head, steps_taken = f"epoch {epoch}/{self.info.epochs}", f"{step}/{steps}  "
        room = columns - len(head) - len(words) - 6
        taken = steps_taken if room - len(steps_taken) >= 8 else ""  # where it is narrow, the bar says it alone
        room = min(24, room - len(taken))
        drawn = bar(step / max(1, steps), room, empty="┄") + "  " if room >= 4 else ""
        self.state = f"{head}  {drawn}{taken}{words}"
        if self.live is None and not self.quiet and step < steps and self._due():
            render.say(f"{head}  {steps_taken}{words}")

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        self.told = time.monotonic()
        for one in (*self.earlier, row):
            self._show_epoch(one)
        self.earlier = []

    def _show_epoch(self, row: Mapping[str, Any]) -> None:
        assert self.info is not None
        if self.quiet:
            return
        shown = [c for c in COLUMNS if self.with_val or not c[0].startswith("val")]
        if not self.headed:
            self.headed = True
            render.say()
            render.say(" ".join(title.rjust(width) for title, width, _ in shown).rstrip(), "bold")
        cells = [cell(row, self.info).rjust(width) for _, width, cell in shown]
        render.say(" ".join(cells) + ("  best" if self._is_best(row) else ""))

    def on_note(self, text: str) -> None:
        if self.quiet:
            render.note(text)
        else:
            render.say(f"note: {text}", "yellow")

    def on_end(self, result: TrainResult) -> None:
        self.state = ""

    def _is_best(self, row: Mapping[str, Any]) -> bool:
        """Return whether the weights of this epoch were kept as the best so far."""
        from ..runtime.metrics import is_better

        assert self.info is not None
        keep = self.info.model.train.keep
        if keep is None or keep.on not in row or not is_better(keep.on, row[keep.on], self.best):
            return False
        self.best = row[keep.on]
        return True

    def _due(self) -> bool:
        """Return whether plain output has been silent for long."""
        now = time.monotonic()
        if now - self.told < PLAIN_EVERY:
            return False
        self.told = now
        return True
