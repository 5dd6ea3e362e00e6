"""A spec with mistakes as the rows of a table: its layers up to the first, and those behind whose shapes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ir.fields import Shape
from ..source import Span, Trail
from .model import INPUT, Layer
from .summary import Row, View, row_of, view_of
from .walk import Missed, Placed


@dataclass(frozen=True)
class Unknown:
    """A step of which no layer was made; ``out_shape`` is None where it is not known."""

    name: str
    out_shape: Shape | None
    line: int


@dataclass(frozen=True)
class Draft:
    """The rows of a spec, each with the place in the text that it is of, and the way there."""

    name: str
    input_shape: Shape
    rows: tuple[tuple[Row | Unknown, Span, Trail], ...]


def draft_of(
    name: str, input_shape: Shape, placed: Sequence[Placed], missed: Sequence[Missed], names: Mapping[int, str]
) -> Draft:
    """Return the draft of what a walk placed and missed."""
    named = {**names, -1: INPUT}
    views: dict[str, View | None] = {INPUT: View((1, 1), (1, 1), (input_shape[0], input_shape[1]))}
    rows: list[tuple[Row | Unknown, Span, Trail]] = []
    coming = list(missed[::-1])
    for i, p in enumerate(placed):
        while coming and coming[-1].behind <= i:
            rows.append(_unknown(coming.pop(), names))
        inputs = tuple(named.get(j, "?") for j in p.inputs)
        layer = Layer(named[i], p.op, inputs, p.in_shapes, p.out_shape, p.step.head, p.trail, p.label)
        behind = [views.get(source) for source in inputs]
        known = [view for view in behind if view is not None]
        view = views[layer.name] = view_of(layer, known) if len(known) == len(behind) else None
        rows.append((row_of(layer, view.field if view is not None else (0, 0)), p.step.head, p.trail))
    rows += [_unknown(each, names) for each in coming[::-1]]
    return Draft(name, input_shape, tuple(rows))


def _unknown(missed: Missed, names: Mapping[int, str]) -> tuple[Unknown, Span, Trail]:
    return Unknown(names[missed.number], missed.shape, missed.span.line), missed.span, missed.trail
