"""``cnnspec layers``: the list of what a spec may write, and the manual of each word."""

from __future__ import annotations

import inspect

import click

from ..errors import did_you_mean
from ..ir.fields import REQUIRED
from ..model.forms import format_default, written
from ..text import to_json
from . import render
from .help import answer
from .manual import catalogue, first_sentence, is_one_form, manual
from .target import json_option


def as_dict(word: str, group: str, cls: type) -> dict[str, object]:
    """Return one word of the language as JSON-ready values."""
    return {
        "name": word,
        "group": group,
        "doc": inspect.getdoc(cls) or "",
        "arguments": [
            {
                "key": a.key,
                "kind": a.kind,
                "doc": a.doc,
                "positional": a.positional,
                "required": a.default is REQUIRED,
                "default": None if a.default is REQUIRED else format_default(a.default),
                "choices": list(a.choices),
            }
            for a in written(cls).values()
        ],
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
    found = [
        (group, word, cls)
        for group, words in catalogue().items()
        for word, cls in words.items()
        if name is None or word == name or (group == name and group != "layers")
    ]
    if not found and name is not None and not as_json:
        known_as = answer(name)  # what is no layer: a key such as lr, residual, or what others call linear
        if known_as is not None:
            render.show(known_as)
            return
    if not found:
        known = [word for words in catalogue().values() for word in words]
        near = did_you_mean(name or "", known)
        raise click.UsageError(
            f"no layer or setting {name!r}: " + (f"did you mean {near!r}?" if near else "see `cnnspec layers`")
        )
    if as_json:
        render.show(to_json([as_dict(word, group, cls) for group, word, cls in found]))
    elif name is not None:
        columns = min(render.width(), 100)
        render.show("\n\n".join(manual(group, word, cls, columns) for group, word, cls in found))
    else:
        print_list()


def print_list() -> None:
    """Print every word with its first sentence, layers first."""
    groups = catalogue()
    width = max(len(word) for words in groups.values() for word in words)
    room = render.width() - width - 4
    for group, words in groups.items():
        if any(is_one_form(word, cls) for word, cls in words.items()):
            continue
        render.show("layers" if group == "layers" else f"\n{group}: in the spec `{group} NAME ...`")
        for word, cls in words.items():
            render.show(f"  {word:<{width}}  {first_sentence(cls, room)}")
    render.show("\nother settings")
    for group, words in groups.items():
        for word, cls in words.items():
            if is_one_form(word, cls):
                render.show(f"  {group:<{width}}  {first_sentence(cls, room)}")
    render.show("\nThe manual of one: cnnspec layers conv")
