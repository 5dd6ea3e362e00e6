"""``cnnspec dump``: one stage of the compiler as text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..source import Source, Span
from .target import open_target, set_option

if TYPE_CHECKING:
    from ..compiler import Compiler

STAGES = ("ast", "model", "graph", "inference", "backward", "plan")


@click.command(name="dump")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option("--stage", type=click.Choice(STAGES), default="graph", show_default=True, help="What to print.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Batch of the plan; the spec's unless said.")
@set_option
def command(target: Path, stage: str, batch: int | None, sets: tuple[str, ...]) -> None:
    """Print what the compiler makes of SPEC at one stage of its road.

    \b
      ast        what was written, as a tree
      model      layers with names, typed arguments and shapes
      graph      the forward graph of a training step, as it was built
      inference  the forward graph after folding and fusing
      backward   the whole training step: loss, gradients, running statistics
      plan       its kernel calls on buffers of one arena

    \b
      cnnspec dump net.cnn --stage model
    """
    compiler = open_target(target, sets).compiler
    click.echo(stage_text(compiler, stage, batch), nl=False)


def stage_text(compiler: Compiler, stage: str, batch: int | None) -> str:
    """Return one stage of a spec's road as text."""
    if stage == "ast":
        return print_tree(compiler.ast)
    if stage == "model":
        from ..model.text import print_model

        return print_model(compiler.model)
    if stage == "plan":
        return str(compiler.plan(batch))
    from ..ir.text import print_graph

    return print_graph(getattr(compiler, stage))


def print_tree(node: object, name: str = "", depth: int = 0) -> str:
    """Return a syntax tree as text, a node a line, with the line and column it was read from."""
    pad, label = "  " * depth, f"{name} = " if name else ""
    if not dataclasses.is_dataclass(node):
        return f"{pad}{label}{node!r}\n"
    children: list[tuple[str, object]] = []
    words = []
    for f in dataclasses.fields(node):
        value = getattr(node, f.name)
        if isinstance(value, (Span, Source)):
            continue
        if dataclasses.is_dataclass(value):
            children.append((f.name, value))
        elif isinstance(value, tuple) and any(dataclasses.is_dataclass(v) for v in value):
            children += [(f.name, v) for v in value]
        elif value not in ((), None, ""):
            words.append(f"{f.name}={value!r}")
    span = getattr(node, "span", None)
    where = f"  # {span.line}:{span.column}" if span is not None else ""
    head = f"{pad}{label}{type(node).__name__} {' '.join(words)}".rstrip() + where + "\n"
    return head + "".join(print_tree(value, key, depth + 1) for key, value in children)
