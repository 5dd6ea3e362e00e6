"""``cnnspec check``: every mistake of a spec in one go, and the edits that mend them."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from ..errors import CnnSpecError, DataError, Diagnostic, InternalError, SpecError
from ..text import count, shorten, some, to_json
from . import render
from .target import Target, open_target, set_option

AT_ONCE = 50_000  # characters of a spec that is read several times to say what --fix would do


@click.command(name="check")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@set_option
@click.option("--fix", is_flag=True, help="Make the edits that mend a mistake surely, and show them.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(target: Path, sets: tuple[str, ...], fix: bool, as_json: bool) -> int:
    """Find every mistake of SPEC and say how to mend it.

    The `expect` lines that need no training (params, macs, ...) are judged as well. The exit code is 1 when
    there is an error, and 0 with warnings only.

    With --fix, only what is sure is edited, and nothing that would add a mistake; a guess is shown, and left to
    you. The rest of the file stays as it is.

    \b
      cnnspec check net.cnn
      cnnspec check net.cnn --fix
    """
    from ..mend import findings

    try:
        opened = open_target(target, sets)
    except CnnSpecError as error:
        if not as_json or isinstance(error, InternalError):
            raise
        render.show(to_json({"ok": False, "file": str(target), "diagnostics": unread(error, target)}))
        return error.exit_code
    compiler = opened.compiler
    found = findings(compiler.source, compiler.settings)
    if fix and opened.run is not None:
        raise click.UsageError("the spec of a run stays as it was trained: mend the file that it came from")
    sure = any(d.fix is not None and d.fix.sure for d in found)
    if fix and sure:
        opened, found = mend_file(opened, target, sets, show=not as_json)
    errors = [d for d in found if d.severity == "error"]
    if as_json:
        result = {
            "ok": not errors,
            "file": opened.compiler.source.name,
            "diagnostics": [d.as_dict() for d in found],
        }
        render.show(to_json(result))
        return 1 if errors else 0
    render.print_diagnostics(found)
    if sure and not fix and opened.run is None:
        offer(opened, target, found)
    if errors:
        return 1
    from ..model.summary import static_metrics
    from .expects import print_verdicts, verdicts

    summary = opened.compiler.summary
    judged = verdicts(opened.model, static_metrics(opened.model))
    layers = some(len(summary.rows), "layer")
    render.say(f"ok     {target}: {layers}, {count(summary.params)} parameters", "green" if not judged else "", hang=7)
    print_verdicts(judged)
    waiting = len(opened.model.expects) - len(judged)
    if waiting:
        render.say(f"       {waiting} more after training: cnnspec eval RUN")
    return 0


def unread(error: CnnSpecError, target: Path) -> list[dict[str, object]]:
    """Return the finding of a file that could not be read as a spec at all, as JSON-ready values."""
    if isinstance(error, SpecError):
        return [d.as_dict() for d in error.diagnostics]
    told = error if isinstance(error, DataError) else DataError(str(error), path=target)
    place: dict[str, object] = {"file": str(told.path or target), "line": None, "column": None}
    notes = [f"{word}: {text}" for word, text in (("expected", told.expected), ("found", told.found)) if text]
    finding = {"code": "file", "severity": "error", "message": told.message, **place}
    return [{**finding, "label": told.field, "notes": notes, "trail": [], "hint": told.hint}]


def offer(opened: Target, target: Path, found: tuple[Diagnostic, ...]) -> None:
    """Say how many of the findings ``--fix`` would mend, where it mends any."""
    from ..mend import mend

    if len(opened.compiler.source.text) > AT_ONCE:
        render.note(f"cnnspec check {target} --fix  makes the edits that are sure")
        return
    mended = mend(opened.compiler.source, opened.compiler.settings)
    gone = len(found) - sum(d.severity == "error" for d in mended.remaining)
    if mended.edits and gone > 0:
        render.note(f"cnnspec check {target} --fix  mends {gone} of {len(found)}")


def mend_file(
    opened: Target, target: Path, sets: tuple[str, ...], *, show: bool
) -> tuple[Target, tuple[Diagnostic, ...]]:
    """Make the sure edits in the file; return it anew, and the diagnostics that are left."""
    from ..mend import encode, mend, uncovered
    from .rewrite import rewrite

    if target.exists() and not target.is_file():  # a pipe or a device cannot be written back
        raise DataError("only a plain file can be mended", path=target, hint="write the spec to a file first")
    compiler = opened.compiler
    before = compiler.source
    mended = mend(before, compiler.settings)
    if mended.edits:
        content = target.read_bytes()
        rewrite(target, encode(before.text, content), encode(mended.source.text, content))
        opened = open_target(target, sets)
        if show:
            print_changes(before.text, mended.source.text, str(target))
    behind = uncovered(mended.source, mended.remaining, compiler.settings)
    if behind and show:
        first = f"{behind[0].message} (line {behind[0].span.line})"
        more = f", and {len(behind) - 1} more" if len(behind) > 1 else ""
        render.note(f"a sure edit is left to you, since it brings another mistake to light: {first}{more}")
    return opened, mended.remaining


def print_changes(before: str, after: str, name: str) -> None:
    """Print the lines that changed, the old under ``-`` and the new under ``+``."""
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, n=0, lineterm=""):
        style = {"-": "red", "+": "green", "@": "dim"}.get(line[:1], "")
        if not line.startswith(("---", "+++")):
            render.say(shorten(line, 200), style)
    render.say()
