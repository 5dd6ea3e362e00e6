"""The layout of filters: rows of numbers, set in columns."""

from __future__ import annotations

from itertools import zip_longest

from .. import ast
from .page import STEP, Page, TooLong, layout, write
from .statements import close, in_one_line

SHORT = 4  # characters


@layout(ast.FilterStatement)
def _filter(page: Page, node: ast.FilterStatement) -> None:
    page.put(f"filter {node.name} {{")
    if page.is_strip:
        in_one_line(node.brace.to(node.span))
        if any(len(plane.rows) > 1 for plane in node.planes):
            raise TooLong
        for plane in node.planes:
            page.put(" |" if node.barred else "")
            for number in (number for row in plane.rows for number in row.numbers):
                page.put(" ")
                write(page, number)
        page.put(" }")
        return
    indent, inside = page.indent, page.indent + STEP
    rows = [[_text(page, number) for number in row.numbers] for plane in node.planes for row in plane.rows]
    widths = _widths(rows)
    written = iter(rows)
    for plane in node.planes:
        if node.barred:
            _line(page, plane.span.start, plane.rows[0].span.start if plane.rows else 0, inside)
            page.put("| " if plane.rows else "|")
        for i, row in enumerate(plane.rows):
            if not node.barred or i:
                _line(page, row.span.start, 0, inside + (2 if node.barred else 0))
            page.put(" ".join(text.rjust(width) for text, width in zip(next(written), widths, strict=False)))
    page.comments_before(node.span.end, inside, spaced=True)
    close(page, indent)


def _line(page: Page, start: int, first: int, indent: int) -> None:
    """Begin the line of a row, or of a bar whose first row may stand further down in the source."""
    page.comments_before(start, indent, spaced=True)
    blank = page.has_blank_before(start)
    page.comments_before(first, indent, above=True)
    page.newline(indent, blank=blank)


def _widths(rows: list[list[str]]) -> list[int]:
    """Return the widths of columns; those of short numbers, the first one aside, are as wide as each other."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    widest = max(widths, default=0)
    return widths if widest > SHORT else [*widths[:1], *(widest for _ in widths[1:])]


def _text(page: Page, number: ast.Expr) -> str:
    return page.strip(number) or ""
