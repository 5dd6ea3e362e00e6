"""The manual of each word that a spec may write, made from its class."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Sequence

from ..ir.fields import REQUIRED, Attr
from ..ir.graph import Op
from ..model.forms import format_default, keys_of, signature, written
from ..model.settings import SETTINGS
from ..ops import LAYERS
from ..text import plain


def catalogue() -> dict[str, dict[str, type]]:
    """Return the words that a spec may write, by group: ``layers``, and the statements of its sections."""
    layers = sorted(LAYERS.items(), key=lambda item: _rank(item[1]))
    return {"layers": dict(layers), **{statement: dict(words) for statement, words in SETTINGS.items()}}


def _rank(cls: type[Op]) -> tuple[bool, ...]:
    """Layers that multiply come first, then windows, then owners of arrays; those that join branches come last."""
    return cls.arity != 1, cls.macs is Op.macs, cls.window is Op.window, cls.params is Op.params


def first_sentence(cls: type, width: int) -> str:
    """Return the first sentence of a class's docstring, cut at a word where it is wider than ``width``."""
    paragraph = (inspect.getdoc(cls) or "").replace("``", "`").partition("\n\n")[0]
    sentence = re.split(r"(?<=[a-z0-9)])[.:;] (?=[A-Za-z])", " ".join(paragraph.split()))[0].rstrip(".")
    return textwrap.shorten(sentence, width, placeholder=" ...")


def is_one_form(word: str, cls: type) -> bool:
    """Return whether a statement has no word to choose: ``batch 32``, ``stop patience=5``."""
    return word == "" or word in keys_of(cls)


def default_of(a: Attr) -> str:
    """Return the value of a field that is not written, in words."""
    if a.default is REQUIRED:
        return "required"
    text = format_default(a.default)
    return f"default {text}" if text else "optional"


def takes(a: Attr) -> str:
    """Return the values that a field accepts, in words."""
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
    form = signature(head, cls) + (" { | BRANCH | BRANCH ... }" if getattr(cls, "arity", 1) != 1 else "")
    lines = textwrap.wrap(form, width, subsequent_indent=" " * (len(head) + 1))
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
