"""Layouts of expressions. Spaces separate arguments, so arithmetic has none; literals stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...source import Span
from .. import ast
from .page import STEP, WIDTH, Page, TooLong, layout, write

_SIZE = re.compile(r"\d+x")
LONG = WIDTH // 4  # a list of more characters takes several lines where its statement does not fit into one


@layout(ast.Number, ast.Size, ast.Text, ast.Name)
def _literal(page: Page, node: ast.Node) -> None:
    page.put(node.span.text)


@layout(ast.Arithmetic)
def _arithmetic(page: Page, node: ast.Arithmetic) -> None:
    write(page, node.first)
    for operator, operand in node.rest:
        page.put(f" {operator} " if operator == "-" and _begins_with_size(operand) else operator)
        _at(page, operand)
        write(page, operand)


@layout(ast.Negative)
def _negative(page: Page, node: ast.Negative) -> None:
    page.put("- " if _begins_with_size(node.operand) else "-")
    _at(page, node.operand)
    write(page, node.operand)


def _begins_with_size(node: ast.Node) -> bool:
    """Return whether a minus must not touch a node: -3x3 is one token."""
    return _SIZE.match(node.span.source.text, node.span.start) is not None


@layout(ast.Group)
def _group(page: Page, node: ast.Group) -> None:
    page.put("(")
    in_a_row(page, [node.inner], node.span.end)
    page.put(")")


@layout(ast.Call)
def _call(page: Page, node: ast.Call) -> None:
    page.put(f"{node.function}(")
    in_a_row(page, node.arguments, node.span.end)
    page.put(")")


@layout(ast.Comparison)
def _comparison(page: Page, node: ast.Comparison) -> None:
    _joined(page, (node.left, node.right), node.relation)


@layout(ast.Logic)
def _logic(page: Page, node: ast.Logic) -> None:
    _joined(page, node.operands, node.word)


def _joined(page: Page, operands: Sequence[ast.Node], sign: str) -> None:
    for i, operand in enumerate(operands):
        page.put(f" {sign} " if i else "")
        _at(page, operand)
        write(page, operand)


@layout(ast.Not)
def _not(page: Page, node: ast.Not) -> None:
    page.put("not ")
    _at(page, node.operand)
    write(page, node.operand)


@layout(ast.TupleOf)
def _tuple(page: Page, node: ast.TupleOf) -> None:
    page.put("(")
    in_a_row(page, node.items, node.span.end)
    page.put(")")


@layout(ast.ListOf)
def _list(page: Page, node: ast.ListOf) -> None:
    is_table = isinstance(node.items[0], ast.TupleOf) if node.items else False
    stays = is_table and "\n" in node.span.text  # written on several lines, as bodies may be
    if stays or page.has_comments(node.span) or (page.wide and page.strip(node, LONG) is None):
        _tall_list(page, node)
    else:
        page.put("[")
        in_a_row(page, node.items, node.span.end)
        page.put("]")


def _tall_list(page: Page, node: ast.ListOf) -> None:
    """Write a list on lines of its own: rows and lists one a line, all else as many in a line as fit."""
    if page.is_strip:
        raise TooLong
    indent, inside = page.indent, page.indent + STEP
    widths = _widths(page, node)
    page.put("[")
    page.indent = inside
    for i, item in enumerate(node.items):
        commented = page.comments_before(item.span.start, inside)
        text = _row(page, item, widths) if isinstance(item, ast.TupleOf) and widths else page.strip(item)
        is_row = isinstance(item, (ast.ListOf, ast.TupleOf))
        if commented or i == 0 or text is None or is_row or page.column + len(text) + 2 > WIDTH:
            page.newline(inside)
        else:
            page.put(" ")
        page.put(text) if text is not None else write(page, item)
        page.put(",")
    page.comments_before(node.span.end, inside)
    page.indent = indent
    page.newline(indent)
    page.put("]")


def _widths(page: Page, node: ast.ListOf) -> list[int]:
    """Return the widths of columns in a list of rows of one length, without the last; none where it is another list."""
    rows = [item.items for item in node.items if isinstance(item, ast.TupleOf)]
    if len(rows) < len(node.items) or len({*map(len, rows)}) != 1 or any(map(page.has_comments, _spans(node))):
        return []
    texts = [[page.strip(item) for item in row] for row in rows]
    if any(text is None for row in texts for text in row):
        return []
    return [max(len(text or "") for text in column) for column in zip(*texts, strict=True)][:-1]


def _spans(node: ast.ListOf) -> list[Span]:
    return [item.span for item in node.items]


def _row(page: Page, node: ast.TupleOf, widths: list[int]) -> str | None:
    """Return a row of a table, its columns filled up; None where it does not fit into a line."""
    *texts, last = [page.strip(item) or "" for item in node.items]
    cells = [f"{text}, ".ljust(width + 2) for text, width in zip(texts, widths, strict=True)]
    row = f"({''.join(cells)}{last})"
    return row if len(row) < WIDTH else None


@layout(ast.Argument)
def _argument(page: Page, node: ast.Argument) -> None:
    page.put(f"{node.key}=" if node.key else "")
    write(page, node.value)


def one_of_several(page: Page, node: ast.Argument) -> None:
    """Write an argument that stands among others: bare arithmetic needs parentheses to be seen as one."""
    bare = isinstance(node.value, ast.Arithmetic) and not node.key
    page.put("(" if bare else "")
    write(page, node)
    page.put(")" if bare else "")


def in_a_row(page: Page, nodes: Sequence[ast.Node], end: int) -> None:
    """Write nodes with commas between them, and the comments up to the ``end`` of their brackets."""
    for i, node in enumerate(nodes):
        page.put(", " if i else "")
        _at(page, node)
        write(page, node)
    if page.comments_before(end, page.indent + 2 * STEP):
        page.newline(page.indent)


def _at(page: Page, node: ast.Node) -> None:
    """Take the comments before a node inside brackets, where a new line means nothing."""
    inside = page.indent + 2 * STEP
    if page.comments_before(node.span.start, inside):
        page.newline(inside)
