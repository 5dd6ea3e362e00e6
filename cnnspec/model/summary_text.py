"""The summary of a model as a table of text; the command line adds colours to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..ir.fields import dims
from ..text import as_tree, columns, count, short, size, some, table
from .outline import Group, Item
from .summary import Row

if TYPE_CHECKING:
    from ..source import Span, Trail
    from .draft import Draft
    from .summary import Summary

LEAST = 16  # columns of a name that other columns give way to
NUMBERS = ("Output Shape", "Param #", "Mult-Adds", "Sees", "Line")


def summary_table(summary: Summary, width: int | None = None) -> list[str]:
    """Return the head and the lines of a summary.

    Each layer is one line under its full name. Where that is wider than ``width``, the names become a tree: a
    line for each stage or block, and its layers indented below.
    """
    return _table([(row.name, detail(row), *numbers(row, summary.input_shape)) for row in summary.rows], width)


def draft_table(draft: Draft, mistakes: Sequence[tuple[Span, Trail]], width: int | None = None) -> list[str]:
    """Return the head and the lines of a spec with mistakes: rows as in a summary, ``!`` at those with a mistake."""
    lines = []
    for row, span, trail in draft.rows:
        mark = "!" if any(_is_at(mistake, span, trail) for mistake in mistakes) else ""
        if isinstance(row, Row):
            cells = numbers(row, draft.input_shape)
            sees = "?" if row.receptive_field == (0, 0) else cells[3]
            lines.append((row.name, f"{mark} {detail(row)}".strip(), *cells[:3], sees, cells[4]))
        else:
            shape = "?" if row.out_shape is None else dims(row.out_shape)
            lines.append((row.name, mark, shape, "?", "?", "?", str(row.line)))
    return _table(lines, width)


def _is_at(mistake: tuple[Span, Trail], span: Span, trail: Trail) -> bool:
    """Whether a mistake is at a step, reached by the same blocks and rounds."""
    place, way = mistake
    touches = (place.start < span.end and span.start < place.end) or place.start == span.start
    return touches and [(f.name, f.span.line) for f in way] == [(f.name, f.span.line) for f in trail]


def _table(flat: Sequence[tuple[str, ...]], width: int | None) -> list[str]:
    """Lay out rows of name, detail and numbers."""
    lines = table(("Layer", "", *NUMBERS), flat, "ll" + "r" * len(NUMBERS))
    if width is None or max(map(columns, lines)) <= width:
        return lines
    return _tree(as_tree([(f"{name} {told}".rstrip(), *cells) for name, told, *cells in flat]), width)


def _tree(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Lay out rows of an indented name and numbers; the last columns give way where the terminal is narrow."""
    lines = table(("Layer", *NUMBERS), rows, "l" + "r" * len(NUMBERS))
    if width is None or max(map(columns, lines)) <= width:
        return lines
    for shown in range(len(NUMBERS), 0, -1):
        head = ("Layer", *NUMBERS[:shown])
        cut = [row[: shown + 1] for row in rows]
        taken = sum(max(columns(row[i]) for row in (head, *cut)) + 1 for i in range(1, shown + 1))
        if width - taken >= min(LEAST, max(columns(row[0]) for row in cut)):
            break
    return table(head, cut, "l" + "r" * shown, width=width, gap=1)


def folded_table(summary: Summary, whole: Group, depth: int, width: int | None = None) -> list[str]:
    """Return the head and the lines of a summary with labels and blocks opened ``depth - 1`` levels deep.

    Equal blocks that follow each other stand once, under a line with their number and what they cost together.
    """
    rows = {row.name: row for row in summary.rows}
    return _tree([*_folded(whole.items, rows, summary.input_shape, depth, 0)], width)


def _folded(
    items: Sequence[Item], rows: Mapping[str, Row], picture: tuple[int, ...], depth: int, indent: int
) -> Iterator[tuple[str, ...]]:
    """Yield the lines of items, ``depth`` levels of which are shown."""
    for item in items:
        if not isinstance(item, Group):
            row = rows[item.name]
            name = item.name.rpartition(".")[2]
            yield (f"{' ' * indent}{name} {detail(row)}".rstrip(), *numbers(row, picture))
            continue
        inside = [rows[layer.name] for layer in item.layers]
        params, macs = sum(row.params for row in inside), sum(row.macs for row in inside)
        total = numbers(replace(inside[-1], params=params, macs=macs, line=item.line), picture)
        closed = bool(item.name) and depth == 1
        title = f"{item.title} ({some(len(inside), 'layer')})" if closed else item.title
        yield (" " * indent + title, *(total if closed or item.times > 1 else [""] * len(total)))
        if not closed:
            yield from _folded(item.items, rows, picture, depth - bool(item.name), indent + 1)


def numbers(row: Row, picture: tuple[int, ...]) -> tuple[str, ...]:
    """Return the columns of numbers of one layer; a hyphen for none."""
    sees = row.receptive_field
    return (
        dims(row.out_shape),
        count(row.params) if row.params else "-",
        short(row.macs) if row.macs else "-",
        "all" if all(seen >= whole for seen, whole in zip(sees, picture, strict=False)) else dims(sees),
        str(row.line),
    )


def detail(row: Row) -> str:
    """Return the arguments that other columns do not show, after the kind where the name does not tell it."""
    words = row.detail.split()
    if words and words[0] == str(row.out_shape[-1]):
        words = words[1:]  # filters and units stand in the output shape
    words = [w for w in words if w != "bias=no" and not (w == "pad=0" and (row.kind != "conv" or "1x1" in words))]
    if row.frozen and row.frozen == row.params:
        words = [*(w for w in words if w != "freeze=yes"), "frozen"]
    if row.name.rpartition(".")[2].rstrip("0123456789") != row.kind:
        words.insert(0, row.kind)
    return " ".join(words)


def summary_title(summary: Summary) -> str:
    """Return what goes in and what comes out."""
    return f"{summary.name}: {dims(summary.input_shape)} -> {dims(summary.output_shape)}"


def draft_title(draft: Draft) -> str:
    """Return what goes in, and what comes out as far as it is known."""
    end = draft.rows[-1][0].out_shape if draft.rows else None
    return f"{draft.name}: {dims(draft.input_shape)} -> {'?' if end is None else dims(end)}"


def summary_totals(summary: Summary) -> list[str]:
    """Return the totals: what a reader compares with a paper, and what it costs in memory."""
    frozen = summary.params - summary.trainable_params
    apart = [("Trainable", count(summary.trainable_params)), ("Frozen", count(frozen))]
    lines = [
        ("Total params", count(summary.params)),
        *(apart if frozen else []),
        ("Mult-Adds", f"{short(summary.macs)} an image"),
        ("Weights", size(summary.weight_bytes)),
        ("Activations", f"{size(summary.activation_bytes)} an image"),
    ]
    if summary.sweep is not None:
        lines.append(("Sweep", f"{summary.sweep}; not run yet"))
    return [f"{title:<13} {text}" for title, text in lines]
