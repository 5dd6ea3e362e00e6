"""Where training stands, as a checkpoint keeps it; read back with care, since a file may hold anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError


@dataclass
class Progress:
    """Where training stands. All of it is restored by ``--resume``.

    Attributes
    ----------
    epoch : the epoch under way, from 1; ``step`` of its steps are done.
    loss_sum, correct, images : sums over those steps.
    seconds : time spent in them, and in all steps before this session of the epoch.
    waited : the part of it in which the net waited for its batches, seconds.
    best : {"metric", "value", "epoch"} of the best epoch, or None.
    history : one row for each finished epoch.
    seed : the run's seed.
    settings : what steers training, as texts (identity.train_settings).
    data : the fingerprint of the data.
    """

    seed: int
    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    data: str = ""

    @property
    def waiting(self) -> float:
        """The share of the epoch's time in which the net waited for its batches, in [0, 1]."""
        return min(1.0, self.waited / self.seconds) if self.seconds > 0 else 0.0


def progress_of(path: Path, state: Any) -> Progress:
    """Return the progress that a checkpoint's text holds; DataError names the first entry that cannot be."""
    if not isinstance(state, dict):
        raise _wrong_state(path, "", "an object", state)
    state = {**_LATER, **state}
    for name, (expected, fits) in _ENTRIES.items():
        if name not in state or not fits(state[name]):
            raise _wrong_state(path, name, expected, state.get(name, _NOTHING))
    return Progress(**{name: state[name] for name in _ENTRIES})


def check_progress(path: Path, progress: Progress, steps: int, metrics: tuple[str, ...]) -> None:
    """Refuse a progress whose parts contradict each other, or the data's ``steps`` an epoch.

    ``metrics`` are those that the spec watches: each row of the history has them.
    """
    step, images, epochs = progress.step, progress.images, len(progress.history) + 1
    for fits, name, expected in (
        (step <= steps, "step", f"0 to {steps}"),
        (bool(step) == bool(images), "images", f"the images of {step} steps"),
        (progress.correct <= images, "correct", f"0 to {images}"),
        (progress.epoch == epochs, "epoch", f"{epochs}, as there are rows"),
    ):
        if not fits:
            raise _wrong_state(path, name, expected, getattr(progress, name))
    for number, row in enumerate(progress.history, start=1):
        lacking = [name for name in ("epoch", "lr", "train.loss", "seconds", *metrics) if name not in row]
        if lacking:
            raise _wrong_state(path, f"history {number}", f"an entry {lacking[0]}", ", ".join(row))
        if row["epoch"] != number:
            raise _wrong_state(path, f"history {number}", f"epoch {number}", row["epoch"])
    if progress.best is not None and progress.best["epoch"] > len(progress.history):
        raise _wrong_state(path, "best", f"an epoch up to {len(progress.history)}", progress.best["epoch"])


_NOTHING = object()


def _wrong_state(path: Path, name: str, expected: str, found: object) -> DataError:
    return DataError(
        "the state of training in this file is not as cnnspec writes it",
        path=path,
        field=f"progress.{name}" if name else "progress",
        expected=expected,
        found="nothing" if found is _NOTHING else repr(found)[:60],
        hint="its weights are usable: cnnspec eval and predict; training can only begin anew",
    )


def _whole(least: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number, at least {least}", lambda v: type(v) is int and least <= v < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and all(type(v) is float or _is_number(v) for v in value.values())


def _is_best(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping)
        and isinstance(value.get("metric"), str)
        and _is_number(value.get("value"))
        and type(value.get("epoch")) is int
        and value["epoch"] >= 1
    )


_LATER = {"waited": 0.0}  # entries that older checkpoints lack

_ENTRIES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": _whole(0),
    "epoch": _whole(1),
    "step": _whole(0),
    "loss_sum": ("a number", _is_number),
    "correct": _whole(0),
    "images": _whole(0),
    "seconds": ("a number", _is_number),
    "waited": ("a number", _is_number),
    "best": ("null, or metric, value and epoch", _is_best),
    "history": ("rows of numbers", lambda v: isinstance(v, list) and all(map(_is_row, v))),
    "settings": (
        "texts by name",
        lambda v: isinstance(v, dict) and all(isinstance(text, str) for text in v.values()),
    ),
    "data": ("a text", lambda v: isinstance(v, str)),
}
