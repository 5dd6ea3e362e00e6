"""What must hold for a net as a whole: its end fits the task, and nothing it computes is lost."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import Fix
from ..ir.fields import dims
from ..ops.activation import Activation
from ..source import Span
from ..syntax import ast
from .findings import Report
from .settings import CrossEntropy, TrainSettings
from .walk import Cursor, Placed

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
    _judge_unused(placed, names, end, report)
    if train.batch == 1:
        _judge_norms(placed, report)
    is_judged = classes is not None or train.span is not None
    found_softmax = isinstance(train.loss, CrossEntropy) and _judge_activation(placed, end, is_judged, report)
    if classes is not None and not found_softmax:
        _judge_output(placed[end.index], end, classes, classes_from, report)


def _judge_unused(placed: Sequence[Placed], names: dict[int, str], end: Cursor, report: Report) -> None:
    read = {end.index, *(index for layer in placed for index in layer.inputs)}
    for index, layer in enumerate(placed):
        if index not in read:
            message = f"what `{names[index]}` computes goes nowhere"
            label = "no layer reads this, and it is not the end of the net"
            hint = "join it to the rest with concat, add or multiply, or delete it"
            report(layer.finding("unused", message, label, hint))


def _judge_activation(placed: Sequence[Placed], end: Cursor, warn: bool, report: Report) -> bool:
    """Judge an activation at the end of the net, since the loss takes numbers of any size; tell whether it is softmax.

    Softmax is an error. Others get a warning if ``warn`` is true.
    """
    index = end.index
    while index >= 0 and placed[index].op.name in PASSES_THROUGH:
        index = placed[index].inputs[0]
    if index < 0:
        return False
    last, name = placed[index], placed[index].op.name
    hint = f"delete {name}: nets end in logits, and predict turns them into probabilities"
    if name == "softmax":
        message = "the net ends in softmax, and the loss cross_entropy applies softmax itself"
        label = "applied twice, the net would learn slowly and badly"
        report(last.finding("softmax", message, label, hint, fix=_deletion(last.step)))
    elif warn and end.shape is not None and len(end.shape) == 1 and isinstance(last.op, Activation):
        message = f"the net ends in {name}, and the loss cross_entropy takes logits of any size"
        why = {"relu": "a logit below 0 would learn nothing", "leaky_relu": "logits below 0 would hardly move"}
        label, fix = why.get(name, f"behind {name} the loss cannot come near 0"), _deletion(last.step, sure=False)
        report(last.finding("softmax", message, label, hint, fix=fix, severity="warning"))
    return name == "softmax"


def _judge_norms(placed: Sequence[Placed], report: Report) -> None:
    """Refuse batch norms that have one value a channel to take mean and variance of, since it becomes 0."""
    for layer in placed:
        if layer.op.name == "bn" and layer.out_shape[:-1] in ((), (1, 1)):
            message = "batch norm over a single value makes every output the same"
            label = f"its input is {dims(layer.in_shapes[0])}, and batch is 1: one value for each channel"
            report(layer.finding("batch", message, label, "train with batch 2 or more, or delete this bn"))


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
        message = f"the net must end in {said}, but ends in an image of {dims(shape)}"
        label = f"expected a flat vector of {classes}, found {dims(shape)}"
        hint = "end with  flatten -> dense classes" if shape[:2] != (1, 1) else "end with  flatten"
        report(last.finding("classes", message, label, hint))
        return
    units, fix = last.spans.get("units"), None
    hint = f"end with  dense classes  after {dims(shape)}"
    if units is not None:
        hint, fix = "write  dense classes", None if last.trail else Fix(units, "classes", sure=True)
    message = f"the net ends in {shape[0]} numbers, but there are {said}"
    report(last.finding("classes", message, f"expected {classes}, found {shape[0]}", hint, span=units, fix=fix))
