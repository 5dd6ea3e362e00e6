"""``cnnspec lint``: what works and is hardly wise, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CnnSpecError, InternalError
from ..text import fold, some, to_json
from . import render
from .check import unread
from .target import json_option, open_target, set_option

if TYPE_CHECKING:
    from ..model.lint.rule import Rule
    from ..model.linting import Linted


@click.command(name="lint")
@click.argument("target", metavar="SPEC|RUN", required=False, type=click.Path(path_type=Path))
@set_option
@click.option("--list", "show_list", is_flag=True, help="List the rules, a line each.")
@json_option
def command(target: Path | None, sets: tuple[str, ...], show_list: bool, as_json: bool) -> int:
    """Tell what is valid in SPEC, and hardly wise: a bias before bn, a dense layer that holds most parameters.

    Each finding names its rule, and `cnnspec help RULE` says why it is one. A comment turns rules off in its line, or,
    in a line of its own, in the next one; a reason may follow behind a colon. Without names it turns all off.

    What is wrong is for `cnnspec check`, which also warns. The exit code is 1 when there is a finding, else 0.

    \b
      cnnspec lint net.cnn
      cnnspec lint --list
      dense 4096  # lint: off heavy-dense: as published
    """
    from ..model.linting import lint, rules

    if show_list:
        print_rules(rules(), as_json)
        return 0
    if target is None:
        raise click.MissingParameter(param_type="argument", param_hint="'SPEC|RUN'")
    try:
        compiler = open_target(target, sets).compiler
        found = lint(compiler.ast, compiler.unjudged)
    except CnnSpecError as error:
        if not as_json or isinstance(error, InternalError):
            raise
        render.show(to_json({"ok": False, "file": str(target), "diagnostics": unread(error, target)}))
        return error.exit_code
    if as_json:
        result = {
            "ok": not found.findings,
            "file": compiler.source.name,
            "diagnostics": [d.as_dict() for d in found.findings],
            "silenced": found.silenced,
        }
        render.show(to_json(result))
    else:
        print_findings(found, target)
    return 1 if found.findings else 0


def print_rules(known: Sequence[Rule], as_json: bool) -> None:
    """Print each rule with a line about it."""
    if as_json:
        render.show(to_json([{"name": rule.name, "doc": rule.doc} for rule in known]))
        return
    width = max(len(rule.name) for rule in known)
    for rule in known:
        for line in fold(f"{rule.name:<{width}}  {rule.doc}", render.width(), width + 2):
            render.say(line)
    render.say()
    render.say(f"Why: cnnspec help {known[0].name}")


def print_findings(found: Linted, target: Path) -> None:
    """Print what was found, and how many findings are turned off."""
    off = f", {some(found.silenced, 'finding')} turned off by comments" if found.silenced else ""
    if not found.findings:
        render.say(f"ok     {target}: no rule finds anything{off}", "green", hang=7)
        return
    render.print_diagnostics(found.findings)
    render.say()
    first = found.findings[0].code
    render.say(f"{some(len(found.findings), 'finding')}{off}. Why: cnnspec help {first}", hang=0)
