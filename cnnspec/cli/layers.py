"""``cnnspec layers``: the list of what a spec may write, and the manual of each word."""

from __future__ import annotations

import inspect
from itertools import groupby

import click

from ..errors import did_you_mean
from ..ir.fields import REQUIRED
from ..model.filter_library import FILTERS
from ..model.forms import format_default
from ..text import to_json
from . import render
from .help import answer
from .manual import Entry, catalogue, example, first_sentence, manual
from .target import json_option


def as_dict(entry: Entry) -> dict[str, object]:
    """Return one word of the language as JSON-ready values."""
    filter_numbers = {"numbers": example(entry.word).planes[0]} if entry.group == "filters" else {}
    return {
        "name": entry.word,
        "group": entry.group,
        "doc": inspect.getdoc(entry.cls) or "",
        "arguments": [
            {
                **{name: getattr(a, name) for name in ("key", "kind", "doc", "positional")},
                "required": a.default is REQUIRED,
                "default": None if a.default is REQUIRED else format_default(a.default),
                "choices": list(a.choices),
            }
            for a in entry.fields
        ],
        **filter_numbers,
    }


@click.command(name="layers")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the layers and settings of the language, or print the manual of NAME.

    \b
      cnnspec layers
      cnnspec layers conv
      cnnspec layers adamw
    """
    found = [e for e in catalogue() if name in (None, e.word) or (name == e.group and name != "layers")]
    if not found:
        known_as = answer(name or "")  # what is no layer: a key such as lr, residual, or what others call linear
        if known_as is not None and not as_json:
            render.show(known_as)
            return
        near = did_you_mean(name or "", [e.word for e in catalogue()])
        raise click.UsageError(
            f"no layer or setting {name!r}: " + (f"did you mean {near!r}?" if near else "see `cnnspec layers`")
        )
    if as_json:
        render.show(to_json(list(map(as_dict, found))))
    elif name is not None:
        render.show("\n\n".join(map(manual, found)))
    else:
        print_list()


def print_list() -> None:
    """Print every word with its first sentence, layers first."""
    width = max(len(e.word) for e in catalogue() if e.group != "filters")  # theirs are longer
    room = render.width() - width - 4
    for group, words in groupby((e for e in catalogue() if not e.is_one_form), lambda e: e.group):
        place = "conv filters=[NAME, ...]" if group == "filters" else f"{group} NAME ..."
        render.show("layers" if group == "layers" else f"\n{group}: in the spec `{place}`")
        for e in words:
            wide = max(map(len, FILTERS)) if group == "filters" else width
            render.show(f"  {e.word:<{wide}}  {first_sentence(e.cls, room + width - wide)}")
    render.show("\nother settings")
    for e in catalogue():
        if e.is_one_form:
            render.show(f"  {e.group:<{width}}  {first_sentence(e.cls, room)}")
    render.show("\nThe manual of one: cnnspec layers conv")
