"""Layouts of statements: one small function for each class of the tree.

A statement is first tried on one line; where that fails, its layout is asked to write it on several.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...source import Span
from .. import ast
from .alignment import alignments
from .expressions import in_a_row, one_of_several
from .page import PLAIN, STEP, WIDTH, Page, TooLong, layout, write

ARROW = " -> "


def statements(page: Page, nodes: Sequence[ast.Statement], indent: int, end: int, words: bool = False) -> None:
    """Write the statements of a body, one a line, and the comments among them and up to ``end``.

    ``words`` sets the arguments of the statements below each other, as in sections.
    """
    _lines(page, nodes, indent, words)
    page.comments_before(end, indent, spaced=True)


def _lines(page: Page, nodes: Sequence[ast.Statement], indent: int, words: bool = False, begun: bool = False) -> None:
    """Write statements, one a line; the first goes on in the line at hand where that is ``begun``."""
    nodes = with_openings(page, nodes)
    for node, alignment in zip(nodes, alignments(page, nodes, words), strict=True):
        start, column = node.span.start, indent + alignment.hang
        if not begun:
            page.comments_before(start, column, spaced=True)
            blank = page.has_blank_before(start)
            page.comments_before(_first_place(node), column, above=True)
            page.newline(column, blank=blank)
        begun = False
        page.indent, page.alignment = column, alignment
        text = page.strip(node, WIDTH - column, alignment)
        page.put(text) if text is not None else write(page, node)
        if isinstance(node, ast.Flow) and page.facts is not None:
            page.lines[-1].facts = page.facts.get(node.span.end, "")


def with_openings(page: Page, nodes: Sequence[ast.Statement]) -> list[ast.Statement]:
    """Return statements in which an input and the flow that starts at it are one flow again."""
    joined: list[ast.Statement] = []
    for node in nodes:
        before = joined[-1] if joined else None
        if isinstance(before, ast.Declaration) and isinstance(node, ast.Flow):
            between = page.source.text[before.span.end : node.span.start]
            if "->" in re.sub(r"#[^\n]*", "", between):
                opening = ast.Step(before.span, before.word, before.word_span, before.arguments)
                joined[-1] = ast.Flow(before.span.to(node.span), "", None, (opening, *node.steps))
                continue
        joined.append(node)
    return joined


def _first_place(node: ast.Statement) -> int:
    """Return the first place of a statement behind which a comment may stand beside its code."""
    return node.steps[0].span.start if isinstance(node, ast.Flow) else node.span.start


# ---- declarations -------------------------------------------------------------------------------
@layout(ast.Declaration)
def _declaration(page: Page, node: ast.Declaration) -> None:
    page.wide = not page.is_strip
    _head(page, node.word, node.arguments)


@layout(ast.ParamStatement)
def _param(page: Page, node: ast.ParamStatement) -> None:
    page.put(f"param {node.name} = ")
    _value(page, node.value)


@layout(ast.Setting)
def _setting(page: Page, node: ast.Setting) -> None:
    page.put(f"{node.name} = ")
    _value(page, node.value)


def _value(page: Page, node: ast.Expr) -> None:
    page.wide = not page.is_strip
    write(page, node)
    page.wide = False


@layout(ast.ExpectStatement)
def _expect(page: Page, node: ast.ExpectStatement) -> None:
    page.put(f"expect {node.metric} {node.relation} ")
    write(page, node.value)


@layout(ast.Use)
def _use(page: Page, node: ast.Use) -> None:
    page.put("use ")
    write(page, node.path)


@layout(ast.Block)
def _block(page: Page, node: ast.Block) -> None:
    page.put(f"block {node.name}(")
    in_a_row(page, node.parameters, node.body.span.start)
    page.put(") ")
    write(page, node.body)


@layout(ast.Parameter)
def _parameter(page: Page, node: ast.Parameter) -> None:
    page.put(node.name)
    if node.default is not None:
        page.put("=")
        write(page, node.default)


@layout(ast.Section)
def _section(page: Page, node: ast.Section) -> None:
    page.put(f"{node.word} ")
    page.words = True
    write(page, node.body)


# ---- flows --------------------------------------------------------------------------------------
@layout(ast.Flow)
def _flow(page: Page, node: ast.Flow) -> None:
    if node.label:
        page.put(f"{node.label}:".ljust(page.alignment.label - 1) + " ")
        page.indent = page.column
    if page.is_strip:
        _straight(page, node.steps)
    else:
        _broken(page, node.steps)


def _straight(page: Page, steps: Sequence[ast.Step]) -> None:
    widths = page.alignment.steps
    for i, step in enumerate(steps):
        page.put(ARROW if i else "")
        start = page.column
        write(page, step)
        if widths and i < len(steps) - 1:
            page.put(" " * (start + widths[i] - page.column))


def _broken(page: Page, steps: Sequence[ast.Step]) -> None:
    """Write steps on several lines: where the author broke them if one line does not do, and where they do not fit.

    A step without arguments stays with the one before it, where it can: ``conv 64 3x3 -> bn -> relu`` is one thing.
    """
    start, hanging = page.indent, page.indent + STEP
    first_alignment = page.alignment._replace(label=0, hang=0)
    room = WIDTH - hanging - len(ARROW)
    texts = [page.strip(step, room, first_alignment if i == 0 else PLAIN) for i, step in enumerate(steps)]
    firsts = [text or _head_of(page, step, room) for step, text in zip(steps, texts, strict=True)]
    heads = [
        len(first or _name(step)) + (0 if text else len(" {"))
        for step, first, text in zip(steps, firsts, texts, strict=True)
    ]
    is_long = _is_long(start, texts, heads)
    widths = heads.copy()  # of a step and those that stay with it
    for i in reversed(range(len(steps) - 1)):
        if steps[i + 1].arguments == () and texts[i + 1] is not None and texts[i] is not None:
            widths[i] += len(ARROW) + widths[i + 1]
    widths = [w if step.arguments and w <= room else head for step, w, head in zip(steps, widths, heads, strict=True)]
    for i, (step, text) in enumerate(zip(steps, texts, strict=True)):
        if i:
            between = page.source.text[steps[i - 1].span.end : step.span.start]
            if page.comments_before(step.span.start, hanging) or (
                is_long and ("\n" in between or page.column + len(ARROW) + widths[i] > WIDTH)
            ):
                page.newline(hanging)
                page.indent = hanging
                page.put(ARROW.lstrip())
            else:
                page.put(ARROW)
        page.alignment, page.wide = first_alignment if i == 0 else PLAIN, firsts[i] is None
        page.put(text) if text is not None else write(page, step)


def _is_long(start: int, texts: Sequence[str | None], heads: Sequence[int]) -> bool:
    """Return whether a chain that is broken nowhere has a line that is too long; each body ends a line."""
    column = start - len(ARROW)
    for text, head in zip(texts, heads, strict=True):
        column += len(ARROW) + head
        if column > WIDTH:
            return True
        if text is None:
            column = start + len("}")
    return False


def _head_of(page: Page, step: ast.Step, room: int) -> str | None:
    """Return the name and the arguments of a step; None where they take several lines."""
    return page.strip_of(lambda strip: _head(strip, _name(step), step.arguments), room)


@layout(ast.Step)
def _step(page: Page, node: ast.Step) -> None:
    _head(page, _name(node), node.arguments)
    if node.body is not None:
        page.put(" ")
        write(page, node.body)
    for clause in node.clauses:
        page.put(f" {clause.name} ")
        if clause.condition is not None:
            write(page, clause.condition)
            page.put(" ")
        write(page, clause.body)


def _name(step: ast.Step) -> str:
    """Return the name of a step, with the names that a loop gives."""
    return f"{step.name} {', '.join(target.name for target in step.targets)} in" if step.targets else step.name


def _head(page: Page, name: str, arguments: Sequence[ast.Argument]) -> None:
    """Write a name and its arguments."""
    alignment, page.alignment = page.alignment, PLAIN
    page.put(name.ljust(alignment.word) if arguments else name)
    for i, argument in enumerate(arguments):
        page.put(" ")
        start = page.column
        one_of_several(page, argument) if len(arguments) > 1 else write(page, argument)
        if i < len(alignment.columns):
            page.put(" " * (start + alignment.columns[i] - page.column))
    page.wide = False


# ---- bodies -------------------------------------------------------------------------------------
@layout(ast.Body)
def _body(page: Page, node: ast.Body) -> None:
    words, page.words = page.words, False
    if page.is_strip:
        in_one_line(node.span)
        nodes = with_openings(page, node.statements)
        if len(nodes) > 1:
            raise TooLong
        page.put("{ ")
        for statement in nodes:
            write(page, statement)
        page.put(" }" if nodes else "}")
        return
    indent = page.indent
    page.put("{")
    statements(page, node.statements, indent + STEP, node.span.end, words)
    close(page, indent)


@layout(ast.Table)
def _table(page: Page, node: ast.Table) -> None:
    if page.is_strip:
        in_one_line(node.span)
        page.put("{ ")
        for row in node.rows:
            write(page, row)
            page.put(" ")
        page.put("}")
        return
    indent = page.indent
    page.put("{")
    for row in node.rows:
        page.comments_before(row.span.start, indent + STEP, spaced=True)
        blank = page.has_blank_before(row.span.start)
        if row.statements:
            page.comments_before(_first_place(row.statements[0]), indent + STEP, above=True)
        page.newline(indent + STEP, blank=blank)
        page.put("|" if not row.statements else "| ")
        _lines(page, row.statements, indent + STEP + len("| "), begun=True)
    page.comments_before(node.span.end, indent + STEP, spaced=True)
    close(page, indent)


@layout(ast.Row)
def _row(page: Page, node: ast.Row) -> None:
    """Write a row of a table that is one line."""
    page.put("|" if not node.statements else "| ")
    nodes = with_openings(page, node.statements)
    if len(nodes) > 1:
        raise TooLong
    for statement in nodes:
        write(page, statement)


def in_one_line(body: Span) -> None:
    """Refuse a body that its author wrote on several lines: it stays so, as blank lines do."""
    if "\n" in body.text:
        raise TooLong


def close(page: Page, indent: int) -> None:
    page.newline(indent)
    page.put("}")
    page.indent = indent
