"""``cnnspec dump``: one stage of the compiler as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ..options import Options
from . import render
from .target import exact_option, open_target, set_option

STAGES = ("ast", "model", "graph", "inference", "backward", "plan", "inference-plan", "diagnosis-plan")


@click.command(name="dump")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option("--stage", type=click.Choice(STAGES), metavar="STAGE", default="graph", show_default=True,
              help="What to print, of the stages above.")  # fmt: skip
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Batch of the plans; the spec's unless said.")
@set_option
@exact_option
def command(target: Path, stage: str, batch: int | None, sets: tuple[str, ...], options: Options) -> None:
    """Print what the compiler makes of SPEC at one stage of its road.

    \b
      ast             the text as a tree
      model           layers with names, typed arguments and shapes
      graph           the forward graph of a training step, as it was built
      inference       the forward graph after folding and fusing
      backward        the whole training step: loss, gradients, running statistics
      plan            its kernel calls on buffers of one arena
      inference-plan  the kernel calls of evaluation and prediction
      diagnosis-plan  the kernel calls that look for numbers that are not finite

    Training, evaluation and prediction run these very plans, where targets are class numbers.

    \b
      cnnspec dump net.cnn --stage model
    """
    from ..ir.text import print_graph
    from ..model.text import print_model

    compiler = open_target(target, sets, replace(options, batch=batch)).compiler
    if stage == "ast":
        text = compiler.ast_text
    elif stage == "model":
        text = print_model(compiler.model)
    else:
        found = getattr(compiler, stage.replace("-", "_"))
        text = str(found) if stage.endswith("plan") else print_graph(found)
    render.show(text, end="")
