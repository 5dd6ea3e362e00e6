"""``cnnspec layers``: the list of what a spec may write, and the manual of each word from its class."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from .. import ops
from ..errors import did_you_mean
from ..ir.fields import REQUIRED, Attr, attrs_of, dims
from ..model.settings import SETTINGS
from ..ops import LAYERS
from ..text import plain, to_json
from . import render

assert ops  # importing the package registers the layers


def catalogue() -> dict[str, dict[str, type]]:
    """Return what a spec may write, by group: ``layers``, and the statements of its sections."""
    layers = sorted(LAYERS.items(), key=lambda item: _rank(item[1]))
    return {"layers": dict(layers), **{statement: dict(words) for statement, words in SETTINGS.items()}}


def _rank(cls: type) -> int:
    """Layers are listed by family, as one learns them; a new family comes last."""
    family = cls.__module__.rpartition(".")[2]
    known = ("conv", "linear", "pool", "norm", "activation", "dropout", "reshape", "merge")
    return known.index(family) if family in known else len(known)


def first_sentence(cls: type, width: int) -> str:
    """Return the first sentence of a class's docstring, cut at a word where it is wider than ``width``."""
    paragraph = (inspect.getdoc(cls) or "").replace("``", "`").partition("\n\n")[0]
    sentence = re.split(r"(?<=[a-z0-9)])[.:;] (?=[A-Za-z])", " ".join(paragraph.split()))[0].rstrip(".")
    return textwrap.shorten(sentence, width, placeholder=" ...")


def written(cls: type) -> dict[str, Attr]:
    """Return the fields that a spec may write."""
    return {name: a for name, a in attrs_of(cls).items() if a.kind != "hidden"}


def is_one_form(word: str, cls: type) -> bool:
    """Return whether a statement has no word to choose: ``batch 32``, ``stop patience=5``."""
    return word == "" or word in (a.key for a in written(cls).values())


def signature(word: str, cls: type) -> str:
    """Return how a statement is written: ``conv OUT_CHANNELS SIZE [stride=1] [pad=same]``."""
    parts = [word]
    for name, a in written(cls).items():
        if a.positional:
            parts.append(a.key.upper() if a.default is REQUIRED else f"[{a.key.upper()}]")
        elif a.default is REQUIRED:
            parts.append(f"{a.key}={name.upper()}")
        else:
            parts.append(f"[{a.key}={shown(a.default) or '...'}]")
    if getattr(cls, "arity", 1) != 1:
        parts.append("{ | BRANCH | BRANCH ... }")
    return " ".join(parts)


def shown(value: Any) -> str:
    """Return a default as a spec writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else dims(value)
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def default_of(a: Attr) -> str:
    """Return what holds where a field is not written, in words."""
    if a.default is REQUIRED:
        return "required"
    return f"default {shown(a.default)}" if shown(a.default) else "optional"


def takes(a: Attr) -> str:
    """Return what a field accepts, in words."""
    kinds = {
        "int": "a whole number",
        "float": "a number",
        "bool": "yes or no",
        "size": "a size: 3 or 3x5",
        "window": "a size such as 2 or 2x3, or global",
        "padding": "same, none, 1 or 1x2",
        "str": 'text in "quotes"',
        "floats": "a number, or a list such as [0.5, 0.4, 0.3]",
        "word": "one of " + ", ".join(a.choices),
    }
    text = kinds.get(a.kind, a.kind)
    if a.kind in ("int", "float"):
        if a.min is not None and a.max is not None:
            text += f" from {plain(a.min)} to {plain(a.max)}"
        elif a.min is not None:
            text += f", at least {plain(a.min)}"
    return text


def manual(group: str, word: str, cls: type, width: int = 80) -> str:
    """Return the manual page of one word as plain text: how it is written, its docstring, its arguments."""
    head = word if group == "layers" else group if is_one_form(word, cls) else f"{group} {word}"
    lines = textwrap.wrap(signature(head, cls), width, subsequent_indent=" " * (len(head) + 1))
    lines += ["", *("  " + line if line else "" for line in prose(cls, width - 2))]
    fields = written(cls)
    if fields:
        lines += ["", "  Arguments", "  ---------"]
        indent = 4 + max(len(a.key) for a in fields.values())
        for a in fields.values():
            doc = textwrap.wrap(f"{a.doc} ({takes(a)}; {default_of(a)})", width - indent)
            lines.append(f"  {a.key:<{indent - 4}}  {doc[0]}")
            lines += [" " * indent + line for line in doc[1:]]
    return "\n".join(lines)


def prose(cls: type, width: int) -> list[str]:
    """Return a docstring wrapped to a width; lists of references and formulas (indented) stay as they are."""
    lines: list[str] = []
    for paragraph in (inspect.getdoc(cls) or "").replace("``", "`").split("\n\n"):
        if lines:
            lines.append("")
        if paragraph.startswith(" "):
            lines += _wrap_each(paragraph.split("\n"), width)
            continue
        title, _, rest = paragraph.partition("\n")
        if rest.startswith("---"):
            rule, _, rest = rest.partition("\n")
            lines += [title, rule]
            if title == "References":
                lines += _wrap_each(rest.split("\n"), width)
                continue
            paragraph = rest
        lines += textwrap.wrap(paragraph, width)
    return lines


def _wrap_each(lines: Sequence[str], width: int) -> list[str]:
    """Wrap lines one by one; what continues a line stands further in."""
    wrapped = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        wrapped += textwrap.wrap(line, width, subsequent_indent=indent)
    return wrapped


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
                "default": None if a.default is REQUIRED else shown(a.default),
                "choices": list(a.choices),
            }
            for a in written(cls).values()
        ],
    }


@click.command(name="layers")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
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
        from .help import answer  # what is no layer: a key such as lr, residual, or what others call linear

        known_as = answer(name)
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
