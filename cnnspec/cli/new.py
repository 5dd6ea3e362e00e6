"""``cnnspec new``: write a first spec from a template."""

from __future__ import annotations

import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from shlex import quote

import click

from ..errors import DataError, did_you_mean
from ..places import carried
from ..text import listed, short, some
from . import render

TEMPLATES = {
    "digits": "handwritten digits, 8x8; the data is built in: start here",
    "lenet": "LeNet-5 on Fashion-MNIST, 28x28",
    "pictures": "your own pictures, one folder a class",
    "resnet": "ResNet-20 for 32x32 colour pictures, with blocks and a width",
}

DEFAULT_FOLDER = "data/pictures"


@cache
def zoo() -> dict[str, str]:
    """Return the nets of ``specs/zoo`` by name. The first line of each is its title, in a comment."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(carried("zoo", "specs/zoo").glob("*.cnn"))}


def template(name: str) -> str:
    """Return the text of a template, or of a net of the zoo."""
    if name in zoo():
        return zoo()[name]
    return (files("cnnspec.cli") / "templates" / f"{name}.cnn").read_text(encoding="utf-8")


@click.command(name="new")
@click.argument("name", metavar="[TEMPLATE]", required=False)
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--list", "only_list", is_flag=True, help="List the templates and the nets of the zoo, as without a TEMPLATE."
)
@click.option("--folder", metavar="DIR", help="Folder of your pictures, for `pictures` and `resnet`.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(name: str | None, path: Path | None, only_list: bool, folder: str | None, force: bool) -> None:
    """Write a spec from TEMPLATE to FILE (TEMPLATE.cnn unless named; - for the terminal).

    A template has data and training; the zoo has published nets, and small ones to train. Without a TEMPLATE, list
    them.

    \b
      cnnspec new --list
      cnnspec new digits
      cnnspec new resnet18
      cnnspec new pictures flowers.cnn --folder data/flowers
    """
    if name is None or only_list:
        show_list()
        return
    if name not in (names := (*TEMPLATES, *zoo())):
        near = did_you_mean(name, names)
        raise click.UsageError(
            f"no template {name!r}: {f'did you mean {near!r}?' if near else 'cnnspec new --list names them'}"
        )
    text = template(name)
    to_screen = str(path) == "-"
    path = path or Path(f"{name}.cnn")
    seen: list[str] = []
    if folder is not None:
        if DEFAULT_FOLDER not in text:
            raise click.UsageError(f"--folder does not go with {name!r}, but with 'pictures' and 'resnet'")
        text, seen = fill_in(text, Path(folder), Path() if to_screen else path.parent)
    if to_screen:
        render.show(text, end="")
        return
    write_new(path, text, force=force)
    render.say(f"wrote {path}")
    for line in seen:
        render.say(f"  {line}")
    render.say(f"next: cnnspec summary {quote(str(path))}")
    if re.search(r"^data\b", text, re.MULTILINE):
        render.say(f"      cnnspec train {quote(str(path))}")
    else:
        render.say("it has no data yet; to train it, add a source: cnnspec layers source")


def show_list() -> None:
    """Print a line for each template, and for each net of the zoo, the smallest first."""
    render.say("with data and training:", "bold")
    for name, words in TEMPLATES.items():
        render.say(f"  {name:<18}{words}", hang=20)
    render.say()
    render.say("the zoo, with parameters:", "bold")
    params = {name: int(re.findall(r"^expect params == (\d+)", text, re.MULTILINE)[0]) for name, text in zoo().items()}
    for name in sorted(params, key=params.__getitem__):
        title = zoo()[name].partition("\n")[0].lstrip("# ")
        render.say(f"  {name:<18}{short(params[name]):>7}  {title}", hang=29)
    render.show("\nnext: cnnspec new digits")


def fill_in(text: str, folder: Path, base: Path) -> tuple[str, list[str]]:
    """Return a template's text for a folder of pictures, seen from ``base``, and lines on what the folder holds.

    The text has the number of classes, and no ``split`` where the folder has a validation set.
    """
    from ..runtime.data.tree import PARTS, look

    tree = look(folder)
    if set(str(folder)) & set('"\\') or not str(folder).isprintable():
        raise DataError("a folder with this name cannot stand in a spec", path=folder, hint="rename the folder")
    seen = folder if folder.is_absolute() else Path(os.path.relpath(folder, base))
    text = text.replace(DEFAULT_FOLDER, seen.as_posix())
    names = tree.class_names
    classes = f"classes {len(names)}"
    text = re.sub(r"^classes \d+ *", lambda old: classes.ljust(len(old[0])), text, count=1, flags=re.MULTILINE)
    if "val" in tree.parts:
        text = re.sub(r"^  split +val=.*\n", "", text, count=1, flags=re.MULTILINE)
    counts = {part: f"{sum(map(len, by_class.values())):,}" for part, by_class in tree.parts.items()}
    told = [
        f"{counts[part]} {title}" if tree.folders else counts[part] for part, title in PARTS.items() if part in counts
    ]
    empty = [name for name in names if not tree.parts["train"][name]]
    notes = [*tree.notes, *([f"no picture yet in {listed(empty)}"] if empty else [])]
    return text, [f"{some(len(names), 'class')} ({listed(names)}): {', '.join(told)} pictures", *notes]


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a text file; without ``force`` a file that is there is kept and reported."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as f:
            f.write(text)
    except FileExistsError:
        mend = "choose another name; --force writes over the file"
        raise DataError("there is such a file already", path=path, hint=mend) from None
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", path=path, hint="another folder") from None
