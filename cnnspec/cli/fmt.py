"""``cnnspec fmt``: specs in their canonical form."""

from __future__ import annotations

import codecs
import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import CnnSpecError, DataError, InternalError
from ..text import some, to_json
from . import render
from .check import unread
from .target import json_option

STDIN = Path("-")
HERE = "standard input"


@dataclass
class Formatted:
    """A file, its bytes as they are and in canonical form, and the error that stands in the way."""

    path: Path
    name: str
    before: bytes = b""
    after: bytes = b""
    error: CnnSpecError | None = None

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


@click.command(name="fmt")
@click.argument("files", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", is_flag=True, help="Change nothing; name the files that would change, and end with 1.")
@click.option("--diff", is_flag=True, help="Change nothing; print what would change.")
@click.option("--shapes", is_flag=True, help="Write beside each line what it makes, in comments that check verifies.")
@json_option
def command(files: tuple[Path, ...], check: bool, diff: bool, shapes: bool, as_json: bool) -> int:
    """Write each SPEC in its one form: spaces, columns, line breaks.

    Meaning, comments and blank lines stay. A file is replaced as a whole or not at all; one that cannot be read
    is told of, and stays. The name - reads standard input and writes standard output.

    --shapes ends lines with `#: 10x10x16 | 2,416 params | sees 14x14`: the shape behind the line, its parameters,
    and what one output sees of the input. `cnnspec check` fails where one is not true any more.

    \b
      cnnspec fmt net.cnn
      cnnspec fmt --check *.cnn
      cnnspec fmt --shapes net.cnn
    """
    results = [read(path, shapes) for path in dict.fromkeys(files)]
    is_dry = check or diff
    for result in results if not is_dry else ():
        write(result, to_stdout=not as_json)
    if as_json:
        render.show(to_json(report(results, is_dry)))
    else:
        tell(results, check=check, diff=diff)
    failed = any(result.error is not None or (check and result.is_changed) for result in results)
    return 1 if failed else 0


def read(path: Path, shapes: bool) -> Formatted:
    """Return a file and its canonical form, or the error that it has."""
    from ..compiler import Compiler
    from ..syntax.guards import MAX_BYTES, too_large
    from ..syntax.spec_file import decode, read_source

    result = Formatted(path, HERE if path == STDIN else str(path))
    try:
        if path == STDIN:
            if sys.stdin is None:
                raise DataError("standard input is closed")
            result.before = sys.stdin.buffer.read(MAX_BYTES + 1)
            if len(result.before) > MAX_BYTES:
                raise too_large(HERE, len(result.before))
            source = decode(result.name, result.before)
        else:
            if path.exists() and not path.is_file() and not path.is_dir():
                hint = "cnnspec fmt -  reads standard input"
                raise DataError("only a plain file can be written back", path=path, hint=hint)
            source = read_source(path)
            result.before = path.read_bytes()
        text = Compiler(source).formatted(shapes=shapes)
        result.after = encode(text, result.before)
    except CnnSpecError as error:
        if isinstance(error, InternalError):
            raise
        result.error, result.after = error, result.before
    return result


def encode(text: str, like: bytes) -> bytes:
    """Return a text with the byte order mark of ``like``, and with its first line end everywhere."""
    end = re.search(rb"\r\n|\r|\n", like)
    mark = codecs.BOM_UTF8 if like.startswith(codecs.BOM_UTF8) else b""
    return mark + text.encode("utf-8").replace(b"\n", end.group() if end else b"\n")


def write(result: Formatted, *, to_stdout: bool) -> None:
    """Put the canonical form in the place of a file, or on standard output."""
    from .rewrite import rewrite

    if result.path == STDIN:
        if to_stdout and result.error is None:
            render.pass_on(result.after)
    elif result.is_changed:
        try:
            rewrite(result.path, result.before, result.after)
        except DataError as error:
            result.error = error


def report(results: list[Formatted], is_dry: bool) -> dict[str, object]:
    """Return what became of the files, or would become of them, as JSON-ready values."""
    files = []
    for result in results:
        said: dict[str, object] = {"file": result.name, "changed": result.is_changed}
        if result.path == STDIN:
            said["text"] = result.after.decode("utf-8-sig") if result.error is None else None
        else:
            said["written"] = result.is_changed and result.error is None and not is_dry
        found = unread(result.error, result.path) if result.error is not None else []
        files.append({**said, "diagnostics": found})
    return {"ok": not any(result.error or result.is_changed for result in results), "files": files}


def tell(results: list[Formatted], *, check: bool, diff: bool) -> None:
    """Print what became of the files, or would become of them."""
    is_dry = check or diff
    errors = 0
    for result in results:
        if result.error is not None:
            render.say_aside("") if errors else None
            render.print_error(result.error)
            errors += 1
        elif result.is_changed and diff:
            for line in difference(result):
                render.say(line, {"-": "red", "+": "green", "@": "dim"}.get(line[:1], ""))
        if result.error is None and result.is_changed and check:
            render.say(f" {result.name}", "yellow", mark="would change")
        elif result.error is None and result.is_changed and not is_dry and result.path != STDIN:
            render.say(f" {result.name}", "green", mark="formatted")
    is_text = not is_dry and any(result.path == STDIN for result in results)
    if not any(result.error or result.is_changed for result in results) and not is_text:
        what = results[0].name if len(results) == 1 else some(len(results), "file")
        render.say(f"     {what}: nothing to change", "green", mark="ok")


def difference(result: Formatted) -> Iterator[str]:
    """Yield the lines of a unified diff; line ends are shown as line feeds."""
    before, after = (re.sub("\r\n|\r", "\n", content.decode("utf-8-sig")) for content in (result.before, result.after))
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), result.name, result.name
    )
    for line in lines:
        yield line.rstrip("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"
