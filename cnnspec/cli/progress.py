"""Kernels that compile and runs that train, as a person follows them: a live line in a terminal, else plain lines."""

from __future__ import annotations

import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..runtime.events import Reporter, RunInfo, TrainResult
from ..text import bar, coming, count, duration, percent, shorten, some
from . import render

if TYPE_CHECKING:
    from typing_extensions import Self

PLAIN_EVERY = 30.0  # seconds between two lines of one epoch where nothing can be redrawn
COMPILING_EVERY = 10.0  # and between two lines while kernels compile
LINE = len("compiling kernels    100/100, about 100 min left")  # the most that stands beside the bar
SHOWN_AFTER = 1.0  # seconds of work that need no line
WAITS = 0.01  # share of its time in which a net waits for batches, from which on it is told where there is room
WAITS_LONG = 0.05  # and from which on it takes the place of the bar
OVERDUE = 3.0  # seconds after which an estimate that did not come true is no longer shown

# title, width and text of each column of the table of epochs
Column = tuple[str, int, Callable[[Mapping[str, Any], "RunInfo"], str]]
COLUMNS: tuple[Column, ...] = (
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


def bar_of(done: int, total: int, room: int) -> str:
    """Return a bar of at most 24 columns with a gap behind it; nothing where there is no room for one."""
    room = min(24, room)
    return bar(done / max(1, total), room, empty="┄") + "  " if room >= 4 else ""


def class_lines(names: Sequence[str], counts: Sequence[int], columns: int) -> list[str]:
    """Return a line that names the classes with their training samples, as many as fit into so many columns."""
    if not names or len(names) != len(counts):
        return []
    each = [f"{shorten(name, 24)} ({number:,})" for name, number in zip(names, counts, strict=True)]
    line = f"classes: {', '.join(each)}"
    shown = len(each)
    while len(line) > columns and shown > 1:
        shown = min(shown - 1, columns // 5)  # a class takes five columns or more
        line = f"classes: {', '.join(each[:shown])} and {len(each) - shown:,} more"
    return [line]


def speed(row: Mapping[str, Any], info: RunInfo) -> str:
    """Return the training images per second of an epoch's row."""
    seconds = row.get("seconds", 0.0)
    return count(round(len(info.dataset.train) / seconds)) if seconds else "-"


class View:
    """Something under way, with a live line of :meth:`line` in a terminal; used in a ``with`` block.

    ``quiet`` shows nothing. ``stderr`` shows it where it does not mix with results.
    """

    def __init__(self, *, quiet: bool, stderr: bool) -> None:
        self.quiet, self.stderr = quiet, stderr
        self.done = self.total = 0
        self.live: render.LiveLine | None = None
        self.began = self.told = time.monotonic()

    def line(self, columns: int = 0) -> str:
        """Return how far it is, with a bar where a line of so many columns has room for one."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _is_live(self) -> bool:
        """Draw the live line where it does not stand; return False where nothing can be redrawn."""
        if render.is_plain(stderr=self.stderr):
            return False
        if self.live is None:
            self.live = render.LiveLine(self.line, stderr=self.stderr)
        return True

    def _say(self, line: str = "") -> None:
        render.say_aside(line)

    def _due(self, seconds: float) -> bool:
        """Return whether plain output has been silent for so long."""
        now = time.monotonic()
        if now - self.told < seconds:
            return False
        self.told = now
        return True


class CompileView(View):
    """Shows that kernels compile, on stderr, where it does not mix with results; pass it as ``progress``.

        with CompileView() as view:
            network.compile(progress=view)

    It is called, and so shows something, only where there are kernels to compile. ``watched`` shows something only
    where a person sees it: in a terminal or a notebook.
    """

    def __init__(self, *, quiet: bool = False, watched: bool = False, stderr: bool = True) -> None:
        seen = not watched or sys.stderr.isatty() or render.in_notebook()
        super().__init__(quiet=quiet or not seen, stderr=stderr)
        self.left, self.at = 0.0, time.monotonic()
        self.kept = True

    def __call__(self, done: int, total: int, left: float) -> None:
        if not self.total:
            from ..kernels import cache

            self.kept = cache.use_cache() == str(cache.cache_dir())
        self.done, self.total, self.left, self.at = done, total, left, time.monotonic()
        if self.quiet or self._is_live():
            return
        if done == 0:
            self.told = self.began = time.monotonic()
            self._say(self.begun())
        elif done == total and self.stderr:
            self._say(f"compiled {some(total, 'kernel')} in {duration(time.monotonic() - self.began)}")
        elif done < total and self._due(COMPILING_EVERY):
            self._say(self.line())

    def begun(self) -> str:
        """Return the line that says what is waited for."""
        why = "kept for later runs" if self.kept else "not kept: see  cnnspec doctor"
        return f"compiling {some(self.total, 'kernel')} ({why})" + self._still(", ", " to go")

    def line(self, columns: int = 0) -> str:
        words = f"{self.done}/{self.total}{self._still(', ', ' left')}"
        why = "" if self.kept else "  not kept: see  cnnspec doctor"
        drawn = bar_of(self.done, self.total, columns - LINE - len(why))
        return f"compiling kernels  {drawn}{words}{why}"

    def _still(self, before: str, after: str) -> str:
        """Return about how long it takes yet, which falls; nothing where it has taken longer than was thought."""
        left = self.left - (time.monotonic() - self.at)
        return f"{before}{coming(left)}{after}" if left > -OVERDUE and self.done < self.total else ""


class CountView(View):
    """Shows on stderr how many things of ``what`` are done, once that takes long; call it with (done, total)."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, stderr=True)
        self.what = what
        self.done = self.total = 0

    def __call__(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.quiet or time.monotonic() - self.began < SHOWN_AFTER or self._is_live():
            return
        if done < total and self._due(PLAIN_EVERY):
            render.say_aside(self.line())

    def line(self, columns: int = 0) -> str:
        left = (time.monotonic() - self.began) * (self.total - self.done) / max(1, self.done)
        words = f"{count(self.done)} of {some(self.total, self.what)}, {coming(left)} left"
        return bar_of(self.done, self.total, columns - len(words) - 3) + words


class TrainingView(CompileView, Reporter):
    """Shows a run; ``quiet`` leaves only what must be known.

    Where stdout is no terminal (or TERM is dumb, or CI is set) nothing is redrawn: each epoch is one line. ``aside``
    shows on stderr what compiles where ``quiet`` leaves stdout to the result.
    """

    def __init__(self, *, quiet: bool = False, aside: CompileView | None = None) -> None:
        super().__init__(quiet=quiet, stderr=False)
        self.aside = aside
        self.info: RunInfo | None = None
        self.headed = False
        self.earlier: list[Mapping[str, Any]] = []  # epochs before a resumed run went on
        self.best: float | None = None
        self.state = ""

    def __enter__(self) -> Self:
        if not self.quiet:
            self._is_live()
        return super().__enter__()

    def line(self, columns: int = 0) -> str:
        return super().line(columns) if self.done < self.total else self.state

    def _say(self, line: str = "", style: str = "", *, hang: int | None = None) -> None:
        """Print a line; where the reader of a pipe has gone, stop as Ctrl-C would, so that the run is saved."""
        try:
            render.say(line, style, hang=hang)
        except BrokenPipeError:
            self.quiet = True
            render.leave_stdout()
            signal.raise_signal(signal.SIGINT)

    # ---- the run's events -----------------------------------------------------------------------
    def on_start(self, info: RunInfo) -> None:
        self.info = info
        model, data = info.model, info.dataset
        splits = ("training", data.train), ("validation", data.val), ("test", data.test)
        parts = [f"{count(len(split))} {title}" for title, split in splits if split is not None]
        targets = math.prod(data.train.labels.shape[1:])
        weights = sum(p.size - p.frozen_size() for p in model.params.values() if p.trainable)
        lines = [
            f"{model.source.name}: {count(weights)} weights to learn, {some(info.epochs, 'epoch')} of "
            f"{some(info.steps_per_epoch, 'step')}",
            f"{data.name}: {', '.join(parts)} images, "
            + (some(data.classes, "class") if data.train.labels.ndim == 1 else f"targets of {some(targets, 'number')}"),
        ]
        lines += class_lines(data.class_names, data.class_counts.get("train", ()), render.width())
        if info.resumed and info.epoch > info.epochs:
            lines.append(f"nothing is left to train; to go on: --epochs {2 * info.epochs}")
        elif info.resumed:
            lines.append(f"going on from epoch {info.epoch}, step {info.step}")
        if not self.quiet:
            for line in lines:
                self._say(line, hang=2)
        self.earlier = list(info.history)
        self.state = "getting ready"

    def on_compile(self, done: int, total: int, left: float) -> None:
        view = self.aside if self.quiet and self.aside is not None else self
        view(done, total, left)

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
        assert self.info is not None
        rate = images / seconds if seconds > 0 else 0.0
        left = (steps - step) + (self.info.epochs - epoch) * self.info.steps_per_epoch
        each = seconds / step if step else 0.0
        columns = shutil.get_terminal_size((80, 24)).columns
        acc = "" if math.isnan(accuracy) else f"acc {100 * accuracy:.1f} %  "
        words = f"loss {number(loss)}  {acc}{count(round(rate))} images/s  {duration(left * each)} left"
        head, steps_taken = f"epoch {epoch}/{self.info.epochs}", f"{step}/{steps}  "
        waits = f"  waits {100 * waiting:.0f} %" if waiting >= WAITS else ""
        if self.live is None and not self.quiet and step < steps and self._due(PLAIN_EVERY):
            self._say(f"{head}  {steps_taken}{words}{waits}")
        room = columns - len(head) - len(words) - 6
        if room - len(waits) < (8 if waiting < WAITS_LONG else -4):
            waits = ""
        room -= len(waits)
        taken = steps_taken if room - len(steps_taken) >= 8 else ""  # where it is narrow, the bar says it alone
        self.state = f"{head}  {bar_of(step, steps, room - len(taken))}{taken}{words}{waits}"

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        self.told = time.monotonic()
        assert self.info is not None
        if self.quiet:
            return
        shown = self._columns()
        if not self.headed:
            self.headed = True
            self._say()
            self._say(" ".join(title.rjust(width) for title, width, _ in shown).rstrip(), "bold")
        for one in (*self.earlier, row):
            cells = [cell(one, self.info).rjust(width) for _, width, cell in shown]
            self._say(" ".join(cells) + ("  best" if self._is_best(one) else ""))
        self.earlier = []

    def _columns(self) -> list[Column]:
        """Return the columns of this run that there is room for."""
        assert self.info is not None
        shown = [c for c in COLUMNS if self.info.dataset.val is not None or not c[0].startswith("val")]
        for title in ("images/s", "lr", "time"):
            if sum(width + 1 for _, width, _ in shown) + len(" best") > render.width():
                shown = [c for c in shown if c[0] != title]
        return shown

    def on_note(self, text: str) -> None:
        if self.quiet:
            render.note(text)
        else:
            self._say(f"note: {text}", "yellow", hang=6)

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
