"""A picture as SVG: one file that needs nothing else, for light and dark ground."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape as _escape

from .layout import ROW, TITLE, Layout, Place, Point, frame_note, lay_out
from .palette import DARK, LIGHT, Ground
from .picture import Box, Frame, Picture, params_of

ROUND = 6.0  # radius of the corners of edges
FONT = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


def to_svg(picture: Picture) -> str:
    """Return the picture as the text of an SVG file."""
    return "\n".join(_lines(picture, lay_out(picture))) + "\n"


def _lines(picture: Picture, layout: Layout) -> Iterator[str]:
    w, h = _number(layout.width), _number(layout.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        'aria-labelledby="net-title net-desc">'
    )
    yield f'<title id="net-title">{escape(picture.title)}</title>'
    yield f'<desc id="net-desc">{escape(picture.about)}</desc>'
    yield "<style>"
    yield f"text {{ font: 12px {FONT}; white-space: pre }}"
    yield "text.shape, text.name, text.sum { font-size: 10px }"
    yield "text.name { font-weight: 600 }"
    yield "text.params, text.sum { text-anchor: end }"
    yield "text.end { text-anchor: end }"
    yield "path { fill: none; stroke-width: 1.2 }"
    yield "text.shape { paint-order: stroke; stroke-width: 3px; stroke-linejoin: round }"
    yield from _colours(LIGHT)
    yield "@media (prefers-color-scheme: dark) {"
    yield from _colours(DARK)
    yield "}"
    yield "</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    yield f'<rect class="ground" width="{w}" height="{h}"/>'
    for place, frame in layout.frames:
        yield _frame(place, frame)
    for _, corners in layout.lines:
        yield f'<path class="edge" d="{_path(corners)}" marker-end="url(#tip)"/>'
    for place, box in zip(layout.boxes, picture.boxes, strict=True):
        yield from _box(place, box)
    for (x, y), side, text in layout.notes:
        yield f'<text class="shape {side}" x="{_number(x)}" y="{_number(y)}">{escape(text)}</text>'
    yield "</svg>"


def _colours(c: Ground) -> Iterator[str]:
    """Yield the rules of style for one ground."""
    yield f".ground {{ fill: {c.ground} }}"
    yield f".frame {{ fill: {c.frame}; stroke: {c.line}; stroke-width: 0.6; fill-opacity: 0.75 }}"
    yield f"text {{ fill: {c.ink} }}"
    yield f"text.name, text.sum, text.shape {{ fill: {c.faint} }}"
    yield f"text.shape {{ stroke: {c.ground} }}"
    yield f".edge {{ stroke: {c.line} }}"
    yield f".tip {{ fill: {c.line} }}"
    yield f".rim {{ fill: none; stroke: {c.line} }}"
    for family, fill in c.fills.items():
        yield f".{family} {{ fill: {fill} }}"


def _frame(place: Place, frame: Frame) -> str:
    name, total = escape(frame.title), frame_note(frame)
    y = _number(place.y + TITLE - 6)
    rect = f'<rect class="frame" {_rectangle(place)} rx="6"/>'
    right = f'<text class="sum" x="{_number(place.x + place.w - 8)}" y="{y}">{total}</text>' if total else ""
    about = f"<title>{name}: {total or 'no'} parameters</title>"
    return f'<g>{about}{rect}<text class="name" x="{_number(place.x + 8)}" y="{y}">{name}</text>{right}</g>'


def _box(place: Place, box: Box) -> Iterator[str]:
    """Yield the rows of a box, each in the colour of its family, and its rim."""
    row_height = place.h / len(box.rows)
    for i, row in enumerate(box.rows):
        band = Place(place.x, place.y + i * row_height, place.w, row_height)
        base = _number(band.y + row_height / 2 + (ROW - 14) / 2)
        params = params_of(row)
        yield (
            f'<g><title>{escape(row.about)}</title><rect class="{row.family}" {_rectangle(band)}/>'
            f'<text x="{_number(band.x + 9)}" y="{base}">{escape(row.text)}</text>'
            + (f'<text class="params" x="{_number(band.x + band.w - 8)}" y="{base}">{params}</text>' if params else "")
            + "</g>"
        )
    yield f'<rect class="rim" {_rectangle(place)}/>'


def _path(corners: list[Point]) -> str:
    """Return an edge with rounded corners."""
    points = [p for i, p in enumerate(corners) if i == 0 or p != corners[i - 1]]
    turns = [
        b
        for a, b, c in zip(points, points[1:], points[2:], strict=False)
        if not (a[0] == b[0] == c[0] or a[1] == b[1] == c[1])
    ]
    points = [points[0], *turns, points[-1]]
    words = [f"M{_pair(points[0])}"]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        radius = min(ROUND, _far(a, b) / 2, _far(b, c) / 2)
        words.append(f"L{_pair(_towards(b, a, radius))}Q{_pair(b)} {_pair(_towards(b, c, radius))}")
    return "".join([*words, f"L{_pair(points[-1])}"])


def _far(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(a: Point, b: Point, length: float) -> Point:
    """Return the point that lies ``length`` from ``a`` on the way to ``b``."""
    whole = _far(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * length / whole, a[1] + (b[1] - a[1]) * length / whole


def _rectangle(place: Place) -> str:
    return f'x="{_number(place.x)}" y="{_number(place.y)}" width="{_number(place.w)}" height="{_number(place.h)}"'


def _pair(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def escape(text: str) -> str:
    """Return a text as XML has it."""
    return _escape(_FORBIDDEN.sub("?", text), {'"': "&quot;"})
