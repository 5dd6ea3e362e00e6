"""Layouts of expressions. Spaces separate arguments, so arithmetic has none; literals stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import ast
from .page import STEP, WIDTH, Page, layout, write

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


@layout(ast.ListOf)
def _list(page: Page, node: ast.ListOf) -> None:
    if page.has_comments(node.span) or (page.wide and page.strip(node, LONG) is None):
        _tall_list(page, node)
    else:
        page.put("[")
        in_a_row(page, node.items, node.span.end)
        page.put("]")


def _tall_list(page: Page, node: ast.ListOf) -> None:
    """Write a list on lines of its own: lists one a line, all else as many in a line as fit."""
    indent, inside = page.indent, page.indent + STEP
    page.put("[")
    page.indent = inside
    for i, item in enumerate(node.items):
        commented = page.comments_before(item.span.start, inside)
        text = page.strip(item)
        if commented or i == 0 or text is None or isinstance(item, ast.ListOf) or page.column + len(text) + 2 > WIDTH:
            page.newline(inside)
        else:
            page.put(" ")
        page.put(text) if text is not None else write(page, item)
        page.put(",")
    page.comments_before(node.span.end, inside)
    page.indent = indent
    page.newline(indent)
    page.put("]")


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
