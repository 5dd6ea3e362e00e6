"""The summary of a model as a table of text; the command line adds colours to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.fields import dims
from ..text import as_tree, columns, count, short, size, table

if TYPE_CHECKING:
    from .summary import Row, Summary

NUMBERS = ("Output Shape", "Param #", "Mult-Adds", "Sees", "Line")


def summary_table(summary: Summary, width: int | None = None) -> list[str]:
    """Return the head and the lines of a summary.

    Each layer is one line under its full name. Where that is wider than ``width``, the names become a tree: a
    line for each stage or block, and its layers indented below.
    """
    rows = [(row, numbers(row, summary.input_shape)) for row in summary.rows]
    flat = [(row.name, detail(row), *cells) for row, cells in rows]
    lines = table(("Layer", "", *NUMBERS), flat, "ll" + "r" * len(NUMBERS))
    if width is None or max(map(columns, lines)) <= width:
        return lines
    tree = as_tree([(f"{row.name} {detail(row)}".rstrip(), *cells) for row, cells in rows])
    head, align = ("Layer", *NUMBERS), "l" + "r" * len(NUMBERS)
    lines = table(head, tree, align)
    return lines if max(map(columns, lines)) <= width else table(head, tree, align, width=width, gap=1)


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
