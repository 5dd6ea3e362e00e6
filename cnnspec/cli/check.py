"""``cnnspec check``: every mistake of a spec in one go, and the edits that mend them."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from ..errors import Diagnostic, SpecError
from ..text import count, to_json
from . import render
from .target import Target, open_target, set_option

ROUNDS = 10  # a mend may uncover a mistake that hid behind it


@click.command(name="check")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@set_option
@click.option("--fix", is_flag=True, help="Make the edits that mend a mistake surely, and show them.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(target: Path, sets: tuple[str, ...], fix: bool, as_json: bool) -> int:
    """Find every mistake of SPEC and say how to mend it.

    The `expect` lines that need no training (params, macs, ...) are judged as well. The exit code is 1 when
    there is an error.

    \b
      cnnspec check net.cnn
      cnnspec check net.cnn --fix
    """
    opened = open_target(target, sets)
    found = findings(opened)
    if fix and any(d.fix is not None for d in found):
        opened, found = mend(opened, target, sets, show=not as_json)
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
    if errors:
        mendable = sum(d.fix is not None for d in errors)
        if mendable and not fix:
            render.note(f"cnnspec check {target} --fix  mends {mendable} of {len(errors)}")
        return 1
    from .expects import print_verdicts, verdicts

    summary = opened.compiler.summary
    judged = verdicts(opened.model, {}, static=True)
    layers = f"{len(summary.rows)} layer{'s' if len(summary.rows) != 1 else ''}"
    render.say(f"ok     {target}: {layers}, {count(summary.params)} parameters", "green" if not judged else "")
    print_verdicts(judged)
    waiting = len(opened.model.expects) - len(judged)
    if waiting:
        render.say(f"       {waiting} more after training: cnnspec eval RUN")
    return 0


def findings(opened: Target) -> tuple[Diagnostic, ...]:
    """Return the diagnostics of a spec, none when all is well."""
    try:
        assert opened.model
    except SpecError as error:
        return error.diagnostics
    return ()


def mend(opened: Target, target: Path, sets: tuple[str, ...], *, show: bool) -> tuple[Target, tuple[Diagnostic, ...]]:
    """Apply the edits of the diagnostics to the file, round by round; return it anew, and what is left."""
    from ..compiler import apply_fixes
    from ..runtime.files import write_atomically

    before = opened.compiler.source.text
    found = findings(opened)
    path = opened.run.spec_path if opened.run is not None else target
    for _ in range(ROUNDS):
        text, applied = apply_fixes(opened.compiler.source, found)
        if not applied:
            break
        write_atomically(path, text.encode("utf-8"), hint="copy the spec to a folder you may write to")
        opened = open_target(target, sets)
        found = findings(opened)
    if show:
        after = opened.compiler.source.text
        changes = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), n=0, lineterm="")
        for line in changes:
            style = {"-": "red", "+": "green", "@": "dim"}.get(line[:1], "")
            if not line.startswith(("---", "+++")):
                render.say(line, style)
        render.say()
    return opened, found
