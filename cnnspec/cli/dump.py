"""``cnnspec dump``: one stage of the compiler as text."""

from __future__ import annotations

from pathlib import Path

import click

from .target import open_target, set_option

STAGES = {
    "ast": "what was written, as a tree",
    "model": "named layers, typed and with shapes",
    "graph": "the forward graph of one layer a node, for inference",
    "backward": "the training graph, gradients and updates included",
    "plan": "kernel calls on buffers of one arena",
}


@click.command(name="dump")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option(
    "--stage", type=click.Choice(list(STAGES)), default="graph", show_default=True, help="What to print."
)
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Batch of the plan; the spec's unless said."
)
@set_option
def command(target: Path, stage: str, batch: int | None, sets: tuple[str, ...]) -> None:
    """Print what the compiler makes of SPEC at one stage of its road.

    \b
      ast       what was written, as a tree
      model     layers with names, typed arguments, shapes
      graph     the forward graph
      backward  the training graph: loss and gradients
      plan      kernel calls on buffers of one arena

    \b
      cnnspec dump net.cnn --stage model
    """
    compiler = open_target(target, sets).compiler
    click.echo(stage_text(compiler, stage, batch), nl=False)
