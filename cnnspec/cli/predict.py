"""``cnnspec predict``: the classes of image files, with their probabilities as bars."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import DataError
from ..options import Options
from ..text import bar, columns, left, percent, shorten, to_json, visible
from . import render
from .target import exact_option, json_option, open_target, threads_option, weights_option

if TYPE_CHECKING:
    import numpy as np


LABEL = 32  # columns of the longest name of a class


@click.command(name="predict")
@click.argument("target", metavar="RUN|SPEC", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1), metavar="K", help="Classes to show for each image (3; 1 for many).")
@click.option("--invert", is_flag=True,
              help="Turn dark into light: for ink on paper, where the net knows light on dark.")  # fmt: skip
@weights_option
@threads_option
@exact_option
@json_option
def command(
    target: Path,
    images: tuple[Path, ...],
    top: int | None,
    invert: bool,
    weights: Path | None,
    threads: int | None,
    options: Options,
    as_json: bool,
) -> int:
    """Classify image files, or all images of a folder, with the weights of RUN.

    Where a net was trained on numbers (`loss mse`), its outputs are printed as they are.

    Images are resized and normalised as in training. An image that cannot be read is reported, the others are
    classified all the same, and the exit code is 1.

    \b
      cnnspec predict runs/digits-20260102-030405 seven.png
      cnnspec predict runs/flowers-20260102-030405 photos/ --top 1
    """
    from ..runtime.answers import Pictures, batch_for
    from ..runtime.trained import class_names_of, compare_spec
    from .progress import CountView

    opened = open_target(target, options=options)
    used = opened.weights_used(weights)
    pictures = Pictures(opened.model, used.trained, images, invert=invert)
    files = pictures.files
    for line in compare_spec(used.trained, opened.model):
        render.note(line)
    network = opened.open_network(used.file, batch=batch_for(len(files)), threads=threads)
    names = class_names_of(opened.model, used.trained)
    shown = min(top or (3 if len(files) <= 8 else 1), len(names))
    probable = opened.model.train.loss.word != "mse"
    results: list[dict[str, object]] = []
    unread: list[Path] = []
    layout = Layout.of(files, names)
    seen = not as_json and sys.stdout.isatty()  # then the answers themselves say how far it is
    with CountView("image", quiet=seen) as view:
        for done, (path, found) in enumerate(pictures.answers(network), 1):
            if isinstance(found, DataError):
                render.print_error(found)
                unread.append(path)
                if as_json:
                    results.append({"file": str(path), "error": found.message})
            else:
                result, lines = as_result(path, found, names, shown, layout, probable=probable)
                results.append({**result, "weights": used.as_dict()})
                for line, style in () if as_json else lines:
                    render.say(line, style)
            view(done, len(files))
    if as_json:
        render.show(to_json(results))
    elif results:
        render.note(f"weights used: {used}")
    for note in pictures.notes("--invert"):
        render.note(note)
    return 1 if unread else 0


@dataclass(frozen=True)
class Layout:
    """The columns of answers: of the file's name, of a class's name, of a bar.

    In a terminal a long name is shortened; in a pipe or file it is whole, and pushes the others to the right.
    """

    file: int
    label: int
    bar: int
    shortens: bool

    @classmethod
    def of(cls, files: Sequence[Path], names: Sequence[str]) -> Layout:
        """Return the columns for these files and classes."""
        width = render.terminal_width()
        label = min(max((columns(visible(name)) for name in names), default=0), LABEL)
        longest = max(columns(visible(str(path))) for path in files)
        room = (width or 100) - label - len("    100.00 %")
        return cls(max(12, min(longest, room)), label, max(8, min(40, room)), width is not None)

    def cell(self, name: object, width: int) -> str:
        """Return the name of a file or a class, as wide as its column."""
        text = visible(str(name))
        return left(shorten(text, width) if self.shortens else text, width)


def as_result(
    path: Path, outputs: np.ndarray, names: Sequence[str], shown: int, layout: Layout, *, probable: bool
) -> tuple[dict[str, object], list[tuple[str, str]]]:
    """Return one image's answer as JSON-ready values, and as lines with their styles: a bar for each class shown.

    ``probable`` tells probabilities from the outputs of a net that was trained with ``loss mse``.
    """
    title = layout.cell(path, layout.file)
    if not names:
        line = f"{title}  " + "  ".join(f"{v:9.5g}" for v in outputs.ravel())
        return {"file": str(path), "output": outputs.tolist()}, [(line, "")]
    ranked = [(names[i], float(outputs[i])) for i in outputs.argsort()[::-1][:shown]]
    key = "probability" if probable else "output"
    result: dict[str, object] = {"file": str(path), "top": [{"class": name, key: p} for name, p in ranked]}
    values = [percent(p) if probable else f"{p:.5g}" for _, p in ranked]
    if len(ranked) == 1:
        return result, [(f"{title}  {layout.cell(ranked[0][0], layout.label)}  {values[0]:>8}", "")]
    lines = [
        (f"  {layout.cell(name, layout.label)}  {left(bar(p, layout.bar), layout.bar)}  {value:>8}", "")
        for (name, p), value in zip(ranked, values, strict=True)
    ]
    return result, [(str(path), "bold"), *lines]
