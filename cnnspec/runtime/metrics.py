"""The metrics that a run watches: which is better, when one has stalled, and which there are at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from ..model.model import Model
from ..model.settings import KeepBest, Patience
from .data import Dataset


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Return whether a metric improved: a loss by falling, an accuracy by rising."""
    if than is None:
        return True
    return value < than if metric.endswith("loss") else value > than


def has_stalled(history: Sequence[Mapping[str, Any]], stop: Patience | None) -> bool:
    """Return whether the metric of ``stop`` has not improved in its last ``patience`` epochs."""
    if stop is None:
        return False
    best, best_epoch = None, 0
    for number, row in enumerate(history, 1):
        if is_better(stop.on, row[stop.on], best):
            best, best_epoch = row[stop.on], number
    return len(history) - best_epoch >= stop.patience


def measured_of(
    history: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, test: Mapping[str, float]
) -> dict[str, float]:
    """Return the metrics of the final weights: of their epoch, and of the test."""
    row = history[best["epoch"] - 1] if best is not None else history[-1] if history else {}
    return {**{key: value for key, value in row.items() if "." in key}, **test}


def _way_to_validation(model: Model) -> str:
    """Return how the data at hand comes to a validation set."""
    if model.data is None:  # arrays, handed over in Python
        return "net.train(x, y, validation=(x_val, y_val)), or a metric of train"
    word = getattr(model.data.source, "word", "")
    return "data { split val=10% }" + {
        "folders": ", or a folder  val  beside  train",
        "npz": ", or  x_val  and  y_val  in the file",
        "csv": ', or  val="FILE"  behind the path',
    }.get(word, "")


def check_metrics(model: Model, data: Dataset) -> None:
    """Refuse, before the first epoch, to watch a metric that will not be measured."""
    settings: tuple[KeepBest | Patience | None, ...] = model.train.keep, model.train.stop
    for statement, setting in zip(("keep best", "stop"), settings, strict=True):
        if setting is None:
            continue
        if setting.on.startswith("val.") and data.val is None:
            raise DataError(
                f"there is no validation split to measure {setting.on} on",
                path=model.source.name,
                field=f"train: {statement} on={setting.on}",
                expected="a validation split, or a metric of train",
                found="no validation split",
                hint=_way_to_validation(model),
            )
        if setting.on.endswith(".accuracy") and data.train.labels.ndim != 1:
            raise DataError(
                "targets that are numbers have no accuracy",
                path=model.source.name,
                field=f"train: {statement} on={setting.on}",
                hint=f"{statement} on={setting.on.split('.')[0]}.loss",
            )
