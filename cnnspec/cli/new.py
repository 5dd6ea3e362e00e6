"""``cnnspec new``: write a first spec from a template."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from ..errors import DataError, did_you_mean

TEMPLATES = {
    "digits": "handwritten digits, 8x8; the data is built in: start here",
    "lenet": "LeNet-5 on Fashion-MNIST, 28x28",
    "pictures": "your own pictures, one folder a class",
    "resnet": "ResNet-20 for 32x32 colour pictures, with blocks and a width",
}

DEFAULT_FOLDER = "data/pictures"


def template(name: str) -> str:
    """Return the text of a template."""
    return files("cnnspec.cli").joinpath("templates", f"{name}.cnn").read_text(encoding="utf-8")


@click.command(name="new")
@click.argument("name", metavar="[TEMPLATE]", required=False)
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--folder", metavar="DIR", help="Folder of your pictures, for `pictures` and `resnet`.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(name: str | None, path: Path | None, folder: str | None, force: bool) -> None:
    """Write a spec from TEMPLATE to FILE (TEMPLATE.cnn unless named; - for the terminal).

    Without a TEMPLATE, list them.

    \b
      cnnspec new digits
      cnnspec new pictures flowers.cnn --folder data/flowers
    """
    if name is None:
        for key, text in TEMPLATES.items():
            click.echo(f"  {key:<10} {text}")
        click.echo("\nnext: cnnspec new digits")
        return
    if name not in TEMPLATES:
        near = did_you_mean(name, TEMPLATES)
        raise click.UsageError(
            f"no template {name!r}: {f'did you mean {near!r}?' if near else 'one of ' + ', '.join(TEMPLATES)}"
        )
    text = template(name)
    if folder is not None:
        if DEFAULT_FOLDER not in text:
            raise click.UsageError(f"--folder does not go with {name!r}, which has its own data")
        text = text.replace(DEFAULT_FOLDER, folder.replace("\\", "/"))
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    path = path or Path(f"{name}.cnn")
    write_new(path, text, force=force)
    click.echo(f"wrote {path}")
    click.echo(f"next: cnnspec summary {path}\n      cnnspec train {path}")


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a text file; without ``force`` a file that is there is kept and reported."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as f:
            f.write(text)
    except FileExistsError:
        raise DataError("there is such a file already", path=path, hint="another name, or --force") from None
    except OSError as error:
        raise DataError(
            f"cannot be written: {error.strerror or error}", path=path, hint="another folder"
        ) from None
