"""``cnnspec draw``: the net as a drawing."""

from __future__ import annotations

from pathlib import Path

import click

from ..drafts import write_whole
from ..errors import DataError
from . import render
from .target import open_target, set_option

SUFFIXES = {"svg": (".svg",), "dot": (".dot", ".gv"), "mermaid": (".mmd", ".mermaid")}  # format -> how its files end


@click.command(name="draw")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@click.option("-o", "--output", "place", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True),
              help="Where to write; its end says the format: .svg, .dot, .mmd.")  # fmt: skip
@click.option("--format", "form", type=click.Choice([*SUFFIXES]), metavar="FORMAT",
              help="svg, dot (for Graphviz) or mermaid (for Markdown).")  # fmt: skip
@click.option("--depth", type=click.IntRange(1), metavar="N",
              help="Levels of labels and blocks to draw; deeper ones are folded into one box each.")  # fmt: skip
@set_option
def command(target: Path, place: Path | None, form: str | None, depth: int | None, sets: tuple[str, ...]) -> None:
    """Draw the net of SPEC: layers as boxes, labels and blocks as frames, shapes on the edges.

    The numbers in boxes and frames are parameters. Equal blocks that follow each other are drawn once, with how
    many they are: x 3. Under the mouse, a browser shows the name of a layer and its line in the spec.

    \b
      cnnspec draw net.cnn -o net.svg
      cnnspec draw net.cnn -o net.svg --depth 1
      cnnspec draw net.cnn --format mermaid
    """
    place = None if str(place) == "-" else place
    form = _format(form, place)
    if place is None and form == "svg" and render.terminal_width() is not None:
        raise click.UsageError(f"an SVG is not for reading: write it to a file, -o {target.stem or 'net'}.svg")
    model = open_target(target, sets).model
    from ..draw.dot import to_dot
    from ..draw.mermaid import to_mermaid
    from ..draw.picture import picture_of
    from ..draw.svg import to_svg

    text = {"svg": to_svg, "dot": to_dot, "mermaid": to_mermaid}[form](picture_of(model, depth))
    if place is None:
        render.show(text, end="")
        return
    try:
        write_whole(place, text.encode("utf-8"))
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", path=place, hint="another folder") from None
    render.say(f"wrote {place}")


def _format(form: str | None, place: Path | None) -> str:
    """Return the format to write; a file keeps to the end of its name, so that no spec is drawn over."""
    if place is None:
        return form or "svg"
    named = next((name for name, ends in SUFFIXES.items() if place.suffix.lower() in ends), None)
    if named is None or (form is not None and form != named):
        wanted = SUFFIXES[form or "svg"][0]
        known = ", ".join(end for ends in SUFFIXES.values() for end in ends)
        fault = "is no name for a drawing" if named is None else f"is the name of a {named} file, not of {form}"
        raise click.UsageError(f"{place.name} {fault} ({known}): -o {place.with_suffix(wanted)}")
    return named
