"""``cnnspec summary``: shapes, parameters and costs, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SpecError
from ..text import size, to_json
from . import render
from .target import json_option, open_target, set_option

if TYPE_CHECKING:
    from ..compiler import Compiler


@click.command(name="summary")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option("--depth", type=click.IntRange(1), metavar="N",
              help="Show N levels of labels and blocks, deeper ones folded, and equal ones once: x 3.")  # fmt: skip
@click.option("--memory", is_flag=True, help="Show the memory of training and inference, too.")
@set_option
@json_option
def command(target: Path, depth: int | None, memory: bool, sets: tuple[str, ...], as_json: bool) -> None:
    """Show what each layer of SPEC makes, how many parameters it has and what it costs.

    Mult-Adds are multiply-accumulates of one image, forward. Sees is the receptive field: the rows and
    columns of the input that one output looks at, all where it is as large as the picture. Line is the line of
    the spec. Where full names are too wide for the terminal, layers stand indented under their stage or block.

    \b
      cnnspec summary net.cnn
      cnnspec summary net.cnn --depth 2
      cnnspec summary net.cnn --set width=0.5
    """
    compiler = open_target(target, sets).compiler
    try:
        summary = compiler.summary
    except SpecError as error:
        if not as_json:
            show_draft(compiler, error)
        raise
    needed = memory_of(compiler) if memory else {}
    if as_json:
        render.show(to_json(summary.to_json() | ({"memory": needed} if memory else {})))
        return
    from ..model.outline import outline
    from ..model.summary_text import folded_table, summary_table, summary_title, summary_totals

    table = summary_table(summary, render.width())
    if depth is not None:
        table = folded_table(summary, outline(compiler.model), depth, render.width())

    render.say(summary_title(summary))
    render.say()
    render.print_table(table, dim=r" -(?= |$)", closed=True)
    for line in summary_totals(summary):
        render.say(line)
    if memory:
        render.say(f"Training      {size(needed['training'])} for batches of {needed['batch']}, with weights")
        render.say(f"Inference     {size(needed['inference'])} for one image, with weights")


def memory_of(compiler: Compiler) -> dict[str, int]:
    """Return the bytes of the plans of training and of inference: arena, weights, and in training optimizer states.

    What each thread has for itself, the interpreter and the data come on top.
    """
    plans = {"training": compiler.plan, "inference": compiler.with_options(batch=1).inference_plan}
    return {name: plan.arena + plan.parameters + plan.states for name, plan in plans.items()} | {
        "batch": compiler.batch
    }


def show_draft(compiler: Compiler, error: SpecError) -> None:
    """Print the table of a spec with mistakes, as far as shapes are known; nothing where none is."""
    from ..mend import suppose
    from ..model.summary_text import draft_table, draft_title

    source, mistakes = suppose(compiler.source, error.diagnostics, compiler.settings)
    draft = type(compiler)(source, compiler.settings).draft
    if draft is None or all(row.out_shape is None for row, *_ in draft.rows):
        return
    render.say(draft_title(draft))
    render.say()
    lines = draft_table(draft, mistakes, render.width())
    render.print_table(lines, dim=r" [-?](?= |$)", wrong=r" !(?= |$)", closed=True)
    if source != compiler.source:
        render.say("Shown as the edits below would mend it, guesses too.", hang=0)
    render.say("! has a mistake, told below or when those are mended; ? is not known behind one.", hang=0)
    render.say()
