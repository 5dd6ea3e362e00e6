"""``filter vertical { ... }``: rows of numbers become a filter, and what is no rectangle is told at its own row."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..errors import Diagnostic
from ..ir.fields import dims
from ..ir.filters import Filter, Rows
from ..source import Span
from ..syntax import ast
from ..text import some
from .filter_library import FILTERS
from .findings import Report, twice
from .values import UNKNOWN, Fault, Scope, Unknown, Value, attempt, number

LARGEST_NUMBER = 1e30  # far below that of float32, so that sums of them stay finite


def read_filters(statements: Iterable[ast.FilterStatement], taken: Collection[str], report: Report) -> dict[str, Value]:
    """Return the filters of a spec by name, UNKNOWN for one that is wrong. ``taken`` are names of parameters."""
    found: dict[str, Value] = {}
    first: dict[str, Span] = {}
    for f in statements:
        if f.name in first:
            report(twice(f"the filter `{f.name}` is written twice", f.name_span, first[f.name], "written"))
            continue
        if f.name in FILTERS or f.name in taken:
            what = "a filter that is built in" if f.name in FILTERS else "the name of a parameter"
            message, hint = f"`{f.name}` is {what}", f"choose another name, such as my_{f.name}"
            report(Diagnostic("duplicate", message, f.name_span, hint=hint))
            continue
        first[f.name] = f.name_span
        value = _read(f, report)
        found[f.name] = value
    return found


def _read(f: ast.FilterStatement, report: Report) -> Filter | Unknown:
    planes = []
    for plane in f.planes:
        rows = _rows(plane, report)
        if rows is not None:
            planes.append(rows)
    if not any(plane.rows for plane in f.planes):
        hint = f"write  filter {f.name} {{ 1 0 -1 }}, with each row on a line"
        report(Diagnostic("structure", f"the filter `{f.name}` has no numbers", f.name_span, hint=hint))
        return UNKNOWN
    if len(planes) < len(f.planes):
        return UNKNOWN
    size = len(planes[0]), len(planes[0][0])
    for plane, rows in zip(f.planes, planes, strict=True):
        if (len(rows), len(rows[0])) != size:
            message = "the channels of a filter have one size"
            label = f"this one is {dims((len(rows), len(rows[0])))}, and the first {dims(size)}"
            report(Diagnostic("shape", message, plane.rows[0].span, label))
            return UNKNOWN
    return Filter(f.name, size, tuple(planes), not f.barred)


def _rows(plane: ast.FilterPlane, report: Report) -> Rows | None:
    """Return the numbers of a channel, or None after reporting."""
    good = True
    if not plane.rows:
        report(Diagnostic("structure", "this channel has no numbers", plane.span, hint="write  | 1 0 -1"))
        return None
    wide = len(plane.rows[0].numbers)
    rows = []
    for row in plane.rows:
        if len(row.numbers) != wide:
            message = "the rows of a filter have one length"
            label = f"{some(len(row.numbers), 'number')}, and the first row has {wide}"
            related = ((plane.rows[0].span, "the first row"),)
            report(Diagnostic("shape", message, row.span, label, related=related))
            good = False
        values = [attempt(_number, n, Scope(in_net=False), report) for n in row.numbers]
        rows.append(tuple(float(v) for v in values if not isinstance(v, Unknown)))
        good = good and len(rows[-1]) == wide
    return tuple(rows) if good else None


def _number(expr: ast.Expr, scope: Scope) -> float:
    value = number(expr, scope)
    if abs(value) > LARGEST_NUMBER:
        raise Fault(Diagnostic("arithmetic", "the number is beyond all that a filter could use", expr.span))
    return value
