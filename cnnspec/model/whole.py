"""What must hold for a net as a whole: its end fits the task, and nothing it computes is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import Diagnostic, Fix
from ..ir.fields import dims
from ..ops.activation import Activation
from ..source import Span
from ..syntax import ast
from .settings import CrossEntropy, TrainSettings
from .walk import Cursor, Placed

Report = Callable[[Diagnostic], None]
PASSES_THROUGH = ("identity", "dropout", "flatten")  # do not change what the numbers mean


def judge_net(
    placed: Sequence[Placed],
    names: dict[int, str],
    end: Cursor,
    classes: int | None,
    classes_from: str,
    train: TrainSettings,
    report: Report,
) -> None:
    """Report what is wrong with a net whose layers all fit."""
    last = placed[end.index]
    _judge_unused(placed, names, end, report)
    if train.batch == 1:
        _judge_norms(placed, report)
    found_softmax = isinstance(train.loss, CrossEntropy) and _judge_softmax(placed, end, report)
    if isinstance(train.loss, CrossEntropy) and (classes is not None or train.span is not None):
        _judge_logits(placed, end, report)
    if classes is not None and not found_softmax:
        _judge_output(last, end, classes, classes_from, report)


def _judge_unused(placed: Sequence[Placed], names: dict[int, str], end: Cursor, report: Report) -> None:
    read = {end.index}
    for layer in placed:
        read.update(layer.inputs)
    for index, layer in enumerate(placed):
        if index in read:
            continue
        report(
            Diagnostic(
                "unused",
                f"what `{names[index]}` computes goes nowhere",
                layer.step.head,
                "no layer reads this, and it is not the end of the net",
                trail=layer.trail,
                hint="join it to the rest with concat, add or multiply, or delete it",
            )
        )


def _judge_softmax(placed: Sequence[Placed], end: Cursor, report: Report) -> bool:
    index = _last_that_computes(placed, end)
    if index < 0 or placed[index].op.name != "softmax":
        return False
    step = placed[index].step
    fix = _deletion(step)
    report(
        Diagnostic(
            "softmax",
            "the net ends in softmax, and the loss cross_entropy applies softmax itself",
            step.head,
            "applied twice, the net would learn slowly and badly",
            trail=placed[index].trail,
            hint="delete softmax: nets end in logits, and predict turns them into probabilities",
            fix=fix,
        )
    )
    return True


def _last_that_computes(placed: Sequence[Placed], end: Cursor) -> int:
    index = end.index
    while index >= 0 and placed[index].op.name in PASSES_THROUGH:
        index = placed[index].inputs[0]
    return index


def _judge_logits(placed: Sequence[Placed], end: Cursor, report: Report) -> None:
    """Warn of an activation at the end of the net: the loss wants numbers of any size."""
    index = _last_that_computes(placed, end)
    if index < 0 or end.shape is None or len(end.shape) != 1 or not isinstance(placed[index].op, Activation):
        return
    last = placed[index]
    name = last.op.name
    why = {"relu": "a logit below 0 would learn nothing", "leaky_relu": "logits below 0 would hardly move"}
    report(
        Diagnostic(
            "softmax",
            f"the net ends in {name}, and the loss cross_entropy takes logits of any size",
            last.step.head,
            why.get(name, f"behind {name} the loss cannot come near 0"),
            trail=last.trail,
            hint=f"delete {name}: nets end in logits, and predict turns them into probabilities",
            fix=_deletion(last.step, sure=False),
            severity="warning",
        )
    )


def _judge_norms(placed: Sequence[Placed], report: Report) -> None:
    """Refuse batch norms that have one value a channel to take mean and variance of, since it becomes 0."""
    for layer in placed:
        if layer.op.name == "bn" and layer.out_shape[:-1] in ((), (1, 1)):
            report(
                Diagnostic(
                    "batch",
                    "batch norm over a single value makes every output the same",
                    layer.step.head,
                    f"its input is {dims(layer.in_shapes[0])}, and batch is 1: one value for each channel",
                    trail=layer.trail,
                    hint="train with batch 2 or more, or delete this bn",
                )
            )


def _deletion(step: ast.Step, *, sure: bool = True) -> Fix:
    """Return the edit that deletes a step with the arrow before it, or the step alone."""
    source, start, end = step.span.source, step.span.start, step.span.end
    before = source.text[:start].rstrip()
    if before.endswith("->"):
        start = len(before[:-2].rstrip())
    else:
        after = source.text[end:]
        if after.lstrip(" \t").startswith("->"):
            end += after.index("->") + 2
    return Fix(Span(source, start, end), "", sure)


def _judge_output(last: Placed, end: Cursor, classes: int, classes_from: str, report: Report) -> None:
    shape = end.shape
    if shape == (classes,) or shape is None:
        return
    said = f"{classes} classes ({classes_from})"
    if len(shape) != 1:
        report(
            Diagnostic(
                "classes",
                f"the net must end in {said}, but ends in an image of {dims(shape)}",
                last.step.head,
                f"expected a flat vector of {classes}, found {dims(shape)}",
                trail=last.trail,
                hint="end with  flatten -> dense classes" if shape[:2] != (1, 1) else "end with  flatten",
            )
        )
        return
    units = last.spans.get("units")
    same_place = units is not None and not last.trail
    report(
        Diagnostic(
            "classes",
            f"the net ends in {shape[0]} numbers, but there are {said}",
            units if units is not None else last.step.head,
            f"expected {classes}, found {shape[0]}",
            trail=last.trail,
            hint="write  dense classes" if units is not None else f"end with  dense classes  after {dims(shape)}",
            fix=Fix(units, "classes", sure=True) if units is not None and same_place else None,
        )
    )
