"""The manual of each word that a spec may write, made from its class."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from ..ir.fields import REQUIRED, Attr
from ..ir.filters import Filter
from ..ir.graph import Op
from ..model.filter_library import FILTERS, built_in, call_form
from ..model.forms import format_default, keys_of, signature, written
from ..model.settings import SETTINGS
from ..ops import LAYERS
from ..text import plain
from . import render

NAMED = ("layers", "filters")  # groups whose words are names of their own
EXAMPLES = {"gabor": (45, 4, 5)}  # of filters that are called: those whose numbers the manual shows


class Entry(NamedTuple):
    """A word that a spec may write: its group is ``layers``, ``filters``, or a statement such as ``optimizer``."""

    group: str
    word: str
    cls: type

    @property
    def fields(self) -> list[Attr]:
        return list(written(self.cls).values())

    @property
    def is_one_form(self) -> bool:
        """Whether it is a statement that has no word to choose: ``batch 32``, ``stop patience=5``."""
        return self.group not in NAMED and self.word in ("", *keys_of(self.cls))

    @property
    def head(self) -> str:
        """How it begins in a spec: ``conv``, ``batch``, ``optimizer adam``."""
        return self.word if self.group in NAMED else self.group if self.is_one_form else f"{self.group} {self.word}"

    @property
    def form(self) -> str:
        """How it is written: ``conv OUT_CHANNELS SIZE [stride=1]``, ``gabor(ANGLE, WAVELENGTH, [SIZE])``."""
        if self.group == "filters":
            return f"conv filters=[{call_form(self.word)}, ...]"
        return signature(self.head, self.cls) + (
            " { | BRANCH | BRANCH ... }" if getattr(self.cls, "arity", 1) != 1 else ""
        )


@cache
def catalogue() -> tuple[Entry, ...]:
    """Return the words that a spec may write, group by group: the layers, and the statements of its sections."""
    layers = dict(sorted(LAYERS.items(), key=lambda item: _rank(item[1])))
    groups: dict[str, Mapping[str, type]] = {"layers": layers, "filters": FILTERS, **SETTINGS}
    return tuple(Entry(group, *item) for group, words in groups.items() for item in words.items())


def _rank(cls: type[Op]) -> tuple[bool, ...]:
    """Layers that multiply come first, then windows, then owners of arrays; those that join branches come last."""
    return cls.arity != 1, cls.macs is Op.macs, cls.window is Op.window, cls.params is Op.params


def first_sentence(cls: type, width: int) -> str:
    """Return the first sentence of a class's docstring, cut at a word where it is wider than ``width``."""
    paragraph = (inspect.getdoc(cls) or "").replace("``", "`").partition("\n\n")[0]
    sentence = re.split(r"(?<=[a-z0-9)])[.:;] (?=[A-Za-z])", " ".join(paragraph.split()))[0].rstrip(".")
    return textwrap.shorten(sentence, width, placeholder=" ...")


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


def about(a: Attr) -> str:
    """Return the sentence on a field: its doc, the values that it accepts, and the one where none is written."""
    default = "" if a.default is REQUIRED else format_default(a.default)
    absent = "required" if a.default is REQUIRED else f"default {default}" if default else "optional"
    return f"{a.doc} ({takes(a)}; {absent})"


def page_width() -> int:
    """Return the columns of a page: those of the terminal, but no more than can be read with ease."""
    return min(100, render.width())


def manual(entry: Entry, width: int | None = None) -> str:
    """Return the manual page of one word as plain text: how it is written, its docstring, its arguments."""
    cls, head, width = entry.cls, entry.head, width or page_width()
    lines = textwrap.wrap(entry.form, width, subsequent_indent=" " * (len(head) + 1))
    lines += ["", *("  " + line if line else "" for line in prose(cls, width - 2))]
    if entry.group == "filters":
        lines += ["", *numbers_of(entry.word)]
    if entry.fields:
        lines += ["", "  Arguments", "  ---------"]
        room = max(map(len, keys_of(cls)))
        for a in entry.fields:
            first, *more = textwrap.wrap(about(a), width - room - 4)
            lines += [f"  {a.key:<{room}}  {first}", *(" " * (room + 4) + line for line in more)]
    return "\n".join(lines)


def example(word: str) -> Filter:
    """Return a built-in filter; of those that are called the one whose numbers the manual shows."""
    return built_in(word, *EXAMPLES.get(word, ()))


def numbers_of(word: str) -> list[str]:
    """Return the numbers of a built-in filter as a spec writes them."""
    made = example(word)
    rows = [[f"{round(n, 4):g}" for n in row] for row in made.planes[0]]
    wide = max(len(n) for row in rows for n in row)
    title = [f"  {made}"] if word in EXAMPLES else []
    return [*title, *("    " + " ".join(n.rjust(wide) for n in row) for row in rows)]


def prose(cls: type, width: int) -> list[str]:
    """Return a docstring wrapped to a width; lists of references and formulas (indented) keep their lines."""
    lines: list[str] = []
    for paragraph in (inspect.getdoc(cls) or "").replace("``", "`").split("\n\n"):
        lines += [""] if lines else []
        title, _, rest = paragraph.partition("\n")
        if rest.startswith("---"):
            rule, _, paragraph = rest.partition("\n")
            lines += [title, rule]
        if not paragraph.startswith(" ") and title != "References":
            lines += textwrap.wrap(paragraph, width)
            continue
        for line in paragraph.split("\n"):  # what continues a line stands further in
            indent = " " * (len(line) - len(line.lstrip()) + 4)
            lines += textwrap.wrap(line, width, subsequent_indent=indent)
    return lines
