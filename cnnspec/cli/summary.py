"""``cnnspec summary``: shapes, parameters and costs, layer by layer."""

from __future__ import annotations

from pathlib import Path

import click

from ..text import to_json
from . import render
from .target import json_option, open_target, set_option


@click.command(name="summary")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@set_option
@json_option
def command(target: Path, sets: tuple[str, ...], as_json: bool) -> None:
    """Show what each layer of SPEC makes, how many parameters it has and what it costs.

    Mult-Adds are multiply-accumulates of one image, forward. Sees is the receptive field: the rows and
    columns of the input that one output looks at, all where it is as large as the picture. Line is the line of
    the spec. Where full names are too wide for the terminal, layers stand indented under their stage or block.

    \b
      cnnspec summary net.cnn
      cnnspec summary net.cnn --set width=0.5
    """
    summary = open_target(target, sets).compiler.summary
    if as_json:
        render.show(to_json(summary.to_json()))
        return
    from ..model.summary_text import summary_table, summary_title, summary_totals

    render.say(summary_title(summary))
    render.say()
    render.print_table(summary_table(summary, render.width()), dim=r" -(?= |$)", closed=True)
    for line in summary_totals(summary):
        render.say(line)
