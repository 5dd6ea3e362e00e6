"""Why branches do not match, with the arithmetic and the line that would mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import Diagnostic, Fix
from ..ir.fields import Pair, Shape, dims
from ..ir.graph import Op
from ..source import Span
from ..syntax import ast

if TYPE_CHECKING:
    from .walk import Placed


def row_notes(table: ast.Table, shapes: Sequence[Shape]) -> Iterator[str]:
    """Yield one line for each row of a merge: what it makes, and where it stands."""
    for row, shape in zip(table.rows, shapes, strict=True):
        text = " ".join(row.span.text.split())
        yield f"line {row.span.line}: {dims(shape):<12} {text[:60]}"


def residual_mismatch(
    step: ast.Step,
    project: ast.Clause | None,
    entering: Shape,
    body: Shape,
    shortcut: Shape,
    placed: Sequence[Placed],
) -> Diagnostic:
    """Return the diagnostic for a residual whose body and shortcut differ in shape."""
    label = f"the body makes {dims(body)}, the shortcut is {dims(shortcut)}"
    related: tuple[tuple[Span, str], ...] = ()
    fix = None
    if project is not None:
        label = f"the body makes {dims(body)}, project makes {dims(shortcut)}"
        related = ((project.name_span, f"turns {dims(entering)} into {dims(shortcut)}"),)
        hint = f"make project end in {dims(body)}"
    elif clause := _projection(step, entering, body, placed):
        hint = f"add  }} {clause}"
        if step.body is not None:
            end = step.body.span.end
            fix = Fix(Span(step.span.source, end, end), f" {clause}")
    else:
        hint = "make the body keep the shape, or write skip=if_same"
    notes = tuple(_arithmetic(placed, body, shortcut))
    message = "residual branches do not match"
    return Diagnostic("shape", message, step.name_span, label, notes=notes, related=related, hint=hint, fix=fix)


def _arithmetic(placed: Sequence[Placed], body: Shape, shortcut: Shape) -> Iterator[str]:
    """Yield how the body came to another height, width or number of channels, layer by layer."""
    for axis, word in enumerate(("height", "width", "channels")):
        if len(body) != 3 or len(shortcut) != 3 or body[axis] == shortcut[axis]:
            continue
        if axis == 1 and body[0] != shortcut[0] and body[0] == body[1] and shortcut[0] == shortcut[1]:
            continue  # square images: the height has said it
        for layer in placed:
            x, y = layer.in_shapes[0], layer.out_shape
            if len(x) != 3 or len(y) != 3 or x[axis] == y[axis]:
                continue
            if axis == 2:
                head = layer.step.head
                yield f"channels: {head.text} makes {y[2]} of {x[2]}      (line {head.line})"
            else:
                yield _window_arithmetic(layer, axis, word)


def _window_arithmetic(layer: Placed, axis: int, word: str) -> str:
    x, y = layer.in_shapes[0], layer.out_shape
    line = layer.step.span.line
    window = layer.op.window(x)
    if window is None:
        return f"{word}: {layer.step.head.text} makes {y[axis]} of {x[axis]}      (line {line})"
    (reach, stride), pad = (window[0][axis], window[1][axis]), padding_of(layer.op, x)[axis]
    said = f"stride={stride}, line {line}" if stride != 1 else f"line {line}"
    return f"{word}: floor(({x[axis]} + 2*{pad} - {reach}) / {stride}) + 1 = {y[axis]}      ({said})"


def padding_of(op: Op, x: Shape) -> Pair:
    """Return rows and columns of zeros on each side, for ops that slide a window."""
    pads = getattr(op, "pads", None)
    if pads is None:
        geometry = getattr(op, "geometry", None)
        pads = geometry(x)[2] if geometry is not None else (0, 0)
    return pads[0], pads[1]


def _projection(step: ast.Step, entering: Shape, body: Shape, placed: Sequence[Placed]) -> str:
    """Return a projection that would make the shortcut match, in the author's own words where possible."""
    if len(entering) != 3 or len(body) != 3:
        return ""
    stride = ""
    if entering[:2] != body[:2]:
        written = [p.spans["stride"].text.split("=")[-1].strip() for p in placed if "stride" in p.spans]
        ratios = {-(-a // b) for a, b in zip(entering[:2], body[:2], strict=True)}
        if len(ratios) != 1:
            return ""
        (ratio,) = ratios
        if any(-(-a // ratio) != b for a, b in zip(entering[:2], body[:2], strict=True)):
            return ""
        stride = f" stride={written[0]}" if len(written) == 1 else f" stride={ratio}"
    channels = str(body[2])
    for p in reversed(placed):
        if "out_channels" in p.spans and p.out_shape[2] == body[2]:
            channels = p.spans["out_channels"].text
            break
    norm = " -> bn" if any(p.op.name == "bn" for p in placed) else ""
    return f"project {{ conv {channels} 1x1{stride}{norm} }}"
