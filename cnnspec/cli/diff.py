"""``cnnspec diff``: two specs or runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CnnSpecError, InternalError
from ..ir.fields import dims
from ..text import as_tree, columns, count, percent, short, shorten, size, some, table, to_json
from . import render
from .target import Target, json_option, open_target, set_option

if TYPE_CHECKING:
    from ..model.compare import Comparison, LayerChange
    from ..model.summary import Row, Summary

FEW = 20  # layers that only follow from others are listed up to so many
CELL = 22  # columns of a name or a value side by side


@click.command(name="diff")
@click.argument("old", metavar="A", type=click.Path(path_type=Path))
@click.argument("new", metavar="B", type=click.Path(path_type=Path))
@set_option
@click.option("--all", "show_all", is_flag=True, help="List every layer that follows from others, however many.")
@json_option
def command(old: Path, new: Path, sets: tuple[str, ...], show_all: bool, as_json: bool) -> int:
    """Show how the net, the data and the training of B differ from those of A.

    Each of A and B is a .cnn file or the folder of a run; of two runs the accuracies are compared too. What --set
    changes, it changes in B.

    A layer is added, removed, moved, or changed: it has other arguments, or reads other layers. It is renamed where
    its label is another one. It follows where it is written as before, and its shape, parameters, mult-adds or
    receptive field differ because of other layers. Comments and places in the text do not count.

    The exit code is that of diff(1): 0 where A and B are equal, 1 where they differ, 2 where that cannot be told.

    \b
      cnnspec diff net.cnn wider.cnn
      cnnspec diff net.cnn net.cnn --set width=0.5
      cnnspec diff runs/net-20260102-030405 runs/net-20260103-040506
    """
    from ..model.compare import compare

    try:
        opened = open_target(old), open_target(new, sets)
        found = compare(*(target.compiler.unjudged for target in opened))
        results = [measured(target) for target in opened]
    except CnnSpecError as error:
        if isinstance(error, InternalError):
            raise
        render.print_error(error)
        return 2
    equal = found.is_equal and (results[0] == results[1] or not all(results))
    if as_json:
        render.show(to_json(as_dict(found, equal, (old, new), results)))
    elif found.is_equal and not any(results):
        render.say(f"equal  {old} and {new}: {some(len(found.new.rows), 'layer')}", "green", hang=7)
    else:
        print_comparison(found, (str(old), str(new)), results, FEW if not show_all else len(found.layers))
    return 0 if equal else 1


def measured(target: Target) -> dict[str, float]:
    """Return the metrics of a run: of the epoch whose weights are used, and of its test; nothing for a spec."""
    if target.run is None:
        return {}
    result = target.run.manifest.get("result") or {}
    history = target.run.history()
    best = result.get("best")
    epoch = best.get("epoch") if isinstance(best, Mapping) else len(history)
    rows = history[epoch - 1 : epoch] if isinstance(epoch, int) and epoch > 0 else []
    found = [(metric, value) for known in (*rows, result) for metric, value in known.items()]
    return {metric: value for metric, value in found if "." in metric and isinstance(value, float)}


def as_dict(
    found: Comparison, equal: bool, names: Sequence[Path], results: Sequence[Mapping[str, float]]
) -> dict[str, object]:
    """Return a comparison as JSON-ready values."""
    return {
        "equal": equal,
        "files": [str(name) for name in names],
        "layers": [change.to_json() for change in found.layers],
        "settings": [{"name": s.name, "old": s.old, "new": s.new} for s in found.settings],
        "totals": [
            {key: value for key, value in summary.to_json().items() if key != "layers"}
            for summary in (found.old, found.new)
        ],
        "results": [dict(result) for result in results],
    }


# ---- tables -------------------------------------------------------------------------------------
def print_comparison(
    found: Comparison, names: tuple[str, str], results: Sequence[Mapping[str, float]], few: int
) -> None:
    """Print the layers that differ, then totals, settings and results that differ."""
    follow = sum(change.change == "follows" for change in found.layers)
    shown = [change for change in found.layers if change.change != "follows" or follow <= few]
    if shown:
        print_layers(shown)
        render.say()
    if follow > few:
        render.say(f"{some(follow, 'layer')} more, written as before, have other numbers: --all lists them", hang=0)
        render.say()
    rows = [*(totals(found.old, found.new) if found.layers else ()), *_settings(found), *_results(*results)]
    cells = [(first, *(shorten(cell, CELL) for cell in row)) for first, *row in (("", *names, "difference"), *rows)]
    print_signed(table(cells[0], cells[1:], "lrrr", width=render.width()), {})


def print_layers(changes: Sequence[LayerChange]) -> None:
    """Print each change in a line or two: what was, under a minus, and what is, under a plus."""
    rows: list[tuple[str, ...]] = []
    for c in changes:
        for sign, row, other in (("-", c.old, c.new), ("+", c.new, c.old)):
            if row is not None:
                fate = c.change if row is c.old or c.old is None else ""
                rows.append((_written(c, row, other), f"{fate:<8} {sign}", *_numbers(row)))
    lines = _laid_out(rows, render.width())
    signs = {"-": "red", "+": "green", "": ""}
    print_signed(lines, dict(enumerate((signs[line[9:10].strip()] for line in lines[1:]), 1)))


def _laid_out(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Return the table of layers whose second cell is what has become of them, and the head.

    Where full names are too wide, layers stand below their stage or block; then the last columns give way.
    """
    head = ("", "Layer", "Output Shape", "Param #", "Mult-Adds", "Sees", "Line")
    for cells, shown in ((rows, 7), *((as_tree(rows), n) for n in (7, 6, 5))):
        ordered = [(fate, layer, *numbers)[:shown] for layer, fate, *numbers in cells]
        limit = None if cells is rows else width
        lines = table(head[:shown], ordered, "llrrrrr"[:shown], width=limit, shrink=1, gap=1)
        if max(map(columns, lines)) <= width:
            break
    return lines


def print_signed(lines: Sequence[str], styles: Mapping[int, str]) -> None:
    """Print a table whose lines have styles of their own."""
    for i, line in enumerate(lines):
        render.say(line, "bold" if i == 0 else styles.get(i, ""))


def _written(change: LayerChange, row: Row, other: Row | None) -> str:
    """Return how a layer is written: its name, its kind where the name does not tell it, its arguments.

    Padding and bias are said where they are the difference.
    """
    words = [row.name]
    if row.name.rpartition(".")[2].rstrip("0123456789").rstrip("_") != row.kind:
        words.append(row.kind)
    same = row.detail.split() if other is None else other.detail.split()
    words += [w for w in row.detail.split() if not (w.startswith(("pad=", "bias=")) and w in same)]
    if change.rewired:
        words.append(f"reads {', '.join(row.inputs)}")
    elif change.change == "changed" and row is change.new and other is not None and other.detail == row.detail:
        words.append("other numbers")  # those of a filter
    return " ".join(words)


def _numbers(row: Row) -> tuple[str, ...]:
    return (
        dims(row.out_shape),
        count(row.params) if row.params else "-",
        short(row.macs) if row.macs else "-",
        dims(row.receptive_field),
        str(row.line),
    )


def totals(old: Summary, new: Summary) -> Iterator[tuple[str, ...]]:
    """Yield what both nets have and cost in all."""
    yield "Layers", count(len(old.rows)), count(len(new.rows)), _change(len(old.rows), len(new.rows))
    yield "Total params", count(old.params), count(new.params), _change(old.params, new.params)
    yield "Mult-Adds", short(old.macs), short(new.macs), _share(old.macs, new.macs)
    nbytes = old.activation_bytes, new.activation_bytes
    yield "Activations", size(nbytes[0]), size(nbytes[1]), _share(*nbytes)
    for title, before, after in (
        ("Output", old.output_shape, new.output_shape),
        ("Sees", old.receptive_field, new.receptive_field),
    ):
        if before != after:
            yield title, dims(before), dims(after), ""


def _settings(found: Comparison) -> Iterator[tuple[str, ...]]:
    for s in found.settings:
        yield s.name, *("-" if value is None else value for value in (s.old, s.new)), ""


def _results(old: Mapping[str, float], new: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the metrics that runs have; the difference where both have one, of accuracies in points of a per cent."""
    for metric in dict.fromkeys([*old, *new]):
        rate = metric.endswith("accuracy")
        values = [known.get(metric) for known in (old, new)]
        cells = ["-" if v is None else percent(v) if rate else f"{v:.4f}" for v in values]
        change = ""
        if metric in old and metric in new:
            change = f"{100 * (new[metric] - old[metric]):+.2f} pt" if rate else f"{new[metric] - old[metric]:+.4f}"
        yield metric, *cells, change


def _change(old: int, new: int) -> str:
    return f"{new - old:+,}" if old != new else ""


def _share(old: int, new: int) -> str:
    return f"{100 * (new - old) / old:+.1f} %" if old and old != new else ""
