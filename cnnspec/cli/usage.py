"""A wrong command in words: how the command is used, what is wrong with it, and what might have been meant."""

from __future__ import annotations

import io
import re
from pathlib import Path
from shlex import quote

import click

from ..errors import LONGEST_LINE, brief
from ..model.elsewhere import word_elsewhere
from ..text import visible
from .target import newest_runs


def usage_of(error: click.ClickException) -> str:
    """Return the words of click on a wrong command, in which arguments are quoted, as a person would say them."""
    written = io.StringIO()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        error.ctx.color = True  # else click takes out of a quoted name what looks like a colour
    error.show(file=written)
    words, message = written.getvalue().rstrip(), error.format_message().rstrip()
    if len(words) > LONGEST_LINE:
        words, message = "\n".join(map(brief, words.split("\n"))), brief(message)
    if isinstance(error, click.MissingParameter):
        return words + what_is_there(error)
    if isinstance(error, click.NoSuchOption):
        meant = option_of_setting(error)
        return words.removesuffix(message) + f"No such option {error.option_name!r}. {meant}" if meant else words
    if words.endswith(f": {message}"):
        words = words.removesuffix(message) + visible(numbers_in_words(message))
    return words


def option_of_setting(error: click.NoSuchOption) -> str:
    """Return the way to write an option that is named like a setting: ``--optimizer adam``; else ""."""
    from ..model.overrides import settings_named

    names = {opt for param in error.ctx.command.params for opt in param.opts} if error.ctx is not None else set()
    word = error.option_name.lstrip("-").replace("-", "_")
    paths = settings_named(word) or settings_named(word_elsewhere(word) or "")
    if "--set" not in names or len(paths) != 1:
        return ""
    short = "--" + paths[0].rpartition(".")[2]
    return f"It is {short} here." if short in names else f"A setting is changed by --set {paths[0]}=..."


def numbers_in_words(message: str) -> str:
    """Return click's message on a number as one would say it: it is no `valid integer range`."""
    for kind, words in (("integer", "a whole number"), ("float", "a number")):
        message = re.sub(rf"is not a valid {kind}( range)?\.$", f"is not {words}.", message)
    return message


def what_is_there(error: click.MissingParameter) -> str:
    """Return an example with a run or a spec that is here, where the command was given none."""
    if error.param is None or error.param.name not in ("target", "files") or error.ctx is None:
        return ""
    specs = sorted(Path().glob("*.cnn"))
    found = newest_runs(Path("runs")) if str(error.param.metavar).startswith("RUN") else specs
    if found:
        return f"\nFor example: {error.ctx.command_path} {quote(str(found[0]))}"
    if specs:
        return f"\nA run is made by training: cnnspec train {quote(str(specs[0]))}"
    return "\nA first spec: cnnspec new digits"
