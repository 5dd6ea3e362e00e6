"""``expect`` lines: which metrics there are, and whether known ones hold."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence

from ..errors import Diagnostic
from .model import Expect

STATIC = {
    "params": "all parameters, running statistics left out",
    "trainable_params": "parameters that training changes from its first epoch on",
    "macs": "multiply-accumulates of one sample, forward",
    "layers": "layers after unrolling",
    "activation_bytes": "bytes of all layers' outputs for one sample, float32",
    "weight_bytes": "bytes of all parameters, float32",
    "receptive_field": "rows of the input that one output sees",
}
TRAINED = {
    "test.accuracy": "share of test samples classified rightly",
    "test.loss": "mean loss on the test set",
    "val.accuracy": "share of validation samples classified rightly",
    "val.loss": "mean loss on the validation set",
    "train.accuracy": "share of training samples classified rightly, last epoch",
    "train.loss": "mean loss on the training set, last epoch",
}
METRICS = {**STATIC, **TRAINED}

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def format_metric(metric: str, value: float) -> str:
    """Return a value as people say it: shares in per cent, counts with separators."""
    if metric.endswith("accuracy"):
        return f"{100 * value:.2f} %"
    if math.isfinite(value) and value == int(value):
        return f"{int(value):,}"
    return f"{value:.6g}"


def judge(expects: Sequence[Expect], known: Mapping[str, float]) -> list[Diagnostic]:
    """Return a diagnostic for each expectation that does not hold.

    Parameters
    ----------
    expects : of a model.
    known : metric -> measured value; expectations of other metrics are left for later.
    """
    failed = []
    for e in expects:
        if e.metric not in known:
            continue
        value = known[e.metric]
        if RELATIONS[e.relation](value, e.value):
            continue
        found, wanted = format_metric(e.metric, value), format_metric(e.metric, e.value)
        notes: tuple[str, ...] = ()
        if e.metric in STATIC and math.isfinite(value):
            difference = value - e.value
            notes = (f"difference: {'+' if difference > 0 else ''}{format_metric(e.metric, difference)}",)
        failed.append(
            Diagnostic(
                "expect",
                f"expected {e.metric} {e.relation} {wanted}, found {found}",
                e.span,
                f"{e.metric} is {found}",
                notes=notes,
            )
        )
    return failed
