"""Numbers, names and tables as plain text: what is the same with and without colours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What moves the cursor, colours, hides or turns text around, or cannot be written: controls (C0, DEL, C1), invisible
# and bidirectional marks, line and paragraph separators, lone surrogates (bytes of a file name that are no UTF-8),
# tags. The joiners of emoji and of Indic scripts (U+200C, U+200D) stay.
_UNSAFE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\ud800-\\udfff\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e0fff]"
)


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text in which nothing can move the cursor or hide: such signs as escapes, ``\\x1b`` for ESC.

    Files, folders, classes and specs come from strangers. ``lines`` keeps line breaks, of texts of several lines.
    """
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda m: "\n" if lines and m[0] == "\n" else _escape(m[0]), text)


def _escape(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":
        sign = chr(ord(sign) - 0xDC00)  # a byte that the name of a file has
    return sign.encode("unicode_escape").decode()


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese or Korean signs take two, accents none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(sign: str) -> int:
    if unicodedata.combining(sign) or sign in "\u200c\u200d\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def left(text: str, width: int) -> str:
    """Return a text followed by the spaces that fill ``width`` columns."""
    return text + " " * (width - columns(text))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: str,
    *,
    width: int | None = None,
    shrink: int = 0,
    gap: int = 2,
) -> list[str]:
    """Lay out rows in columns; the first returned line is the head.

    Parameters
    ----------
    align : one letter a column, ``l`` or ``r``.
    width : the widest line wanted, None for any; column ``shrink`` gives way, shortened in the middle.
    """
    assert all(len(row) == len(head) == len(align) for row in rows)
    head, rows = [visible(cell) for cell in head], [[visible(cell) for cell in row] for row in rows]
    widths = [max(columns(line[i]) for line in (head, *rows)) for i in range(len(head))]
    if width is not None:
        over = sum(widths) + gap * (len(widths) - 1) - width
        if over > 0:
            widths[shrink] = max(columns(head[shrink]), 8, widths[shrink] - over)
    lines = []
    for line in (head, *rows):
        cells = []
        for text, w, a in zip(line, widths, align, strict=True):
            text = shorten(text, w)
            cells.append(left(text, w) if a == "l" else " " * (w - columns(text)) + text)
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def as_tree(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return rows as a tree: a row for each stage or block, its layers below.

    The first word of a row's first cell is the dotted name of a layer.
    """
    tree: list[Sequence[str]] = []
    path: list[str] = []
    for first, *others in rows:
        word, space, rest = first.partition(" ")
        *groups, name = word.split(".")
        for depth in range(len(groups)):
            if groups[: depth + 1] != path[: depth + 1]:
                tree.append((" " * depth + groups[depth], *[""] * len(others)))
        path = groups
        tree.append((" " * len(groups) + name + space + rest, *others))
    return tree


def fold(line: str, width: int | None, indent: int = 0) -> list[str]:
    """Return a line broken between words where it is wider than ``width``; what follows stands ``indent`` further in.

    A ``width`` of None leaves it whole, as in a pipe.
    Words are never broken: commands and paths can be copied as they are; a number keeps its ``%`` or ``s``.
    """
    if width is None or columns(line) <= width:
        return [line]
    lines: list[str] = []
    current = ""
    for piece in re.findall(r"\s*\S+(?: [%s](?!\w))?", line):
        if current.strip() and columns(current) + columns(piece) > width:
            lines.append(current)
            current = " " * indent + piece.lstrip()
        else:
            current += piece
    return [*lines, current]


def shorten(text: str, width: int) -> str:
    """Return the text with its middle replaced by ``...`` where it is wider than ``width`` columns."""
    if columns(text) <= width:
        return text
    tail = max(0, (width - 3) * 2 // 3)
    head = max(0, width - 3 - tail)
    return _first(text, head) + "..." + _first(text[::-1], tail)[::-1]


def _first(text: str, width: int) -> str:
    """Return as much of the start of a text as ``width`` columns hold."""
    taken = 0
    for i, sign in enumerate(text):
        taken += _columns(sign)
        if taken > width:
            return text[:i]
    return text


def count(n: int) -> str:
    """Return a whole number with thousands separated: ``11,689,512``."""
    return f"{n:,}"


def plain(x: float) -> str:
    """Return a bound or a setting as a person would write it: ``1,000,000``, ``0.999``, ``1e-12``."""
    return f"{int(x):,}" if abs(x) < 1e15 and float(x).is_integer() else f"{x:g}"


def some(n: int, thing: str) -> str:
    """Return how many there are of a thing: ``1 epoch``, ``1,200 steps``, ``10 classes``."""
    return f"{count(n)} {thing}{'' if n == 1 else 'es' if thing.endswith('s') else 's'}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return names side by side, and how many more there are beyond ``most``: ``cat, dog and 12 more``."""
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {count(len(shown) - most)} more" if len(shown) > most else "")


def short(n: float, unit: str = "") -> str:
    """Return a number with three digits and a prefix: ``1.82 G``, ``416 k``, ``12``."""
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= 0.9995 * scale:
            return f"{_three(n / scale)} {prefix}{unit}"
    text = f"{n:.0f}" if float(n).is_integer() else _three(n)
    return f"{text} {unit}".rstrip()


def _three(x: float) -> str:
    return f"{x:.2f}" if abs(x) < 9.995 else f"{x:.1f}" if abs(x) < 99.95 else f"{x:.0f}"


def size(nbytes: float) -> str:
    """Return a size in binary units: ``44.6 MiB``."""
    for power, prefix in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if nbytes >= 1 << power:
            return f"{_three(nbytes / (1 << power))} {prefix}"
    return f"{nbytes:.0f} B"


def duration(seconds: float) -> str:
    """Return a time as people read it: ``0.04 s``, ``3.8 s``, ``42 s``, ``3:07``, ``1:02:03``."""
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def coming(seconds: float) -> str:
    """Return a time to come, no finer than it is known: ``about 12 s``, ``about 45 s``, ``about 3 min``."""
    if seconds < 2.5:
        return "a moment"
    if seconds < 20:
        return f"about {round(seconds)} s"
    if seconds < 87.5:
        return f"about {5 * round(seconds / 5)} s"
    return f"about {round(seconds / 60)} min"


def span_of_time(seconds: float) -> str:
    """Return a short time with the unit that gives it three digits: ``1.24 ms``, ``87.3 us``."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def percent(share: float | None) -> str:
    """Return a share of one as ``98.06 %``; a hyphen for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def to_json(value: object) -> str:
    """Return JSON with one entry a line, but lists of plain values on one line; NaN becomes null.

    Letters of all scripts stay; what :func:`visible` escapes is escaped as JSON does.
    """
    import json
    import math

    def finite(x: Any) -> Any:
        if isinstance(x, float) and not math.isfinite(x):
            return None
        if isinstance(x, Mapping):
            return {str(k): finite(v) for k, v in x.items()}
        return [finite(v) for v in x] if isinstance(x, (list, tuple)) else x

    text = json.dumps(finite(value), indent=2, ensure_ascii=False)
    text = re.sub("(?!\n)" + _UNSAFE.pattern, lambda m: json.dumps(m[0])[1:-1], text)
    flat = re.compile(r"\[\s+((?:[^][{}\"]|\"(?:[^\"\\]|\\.)*\")*?)\s+\]")
    return flat.sub(lambda m: "[" + re.sub(r",\s*\n\s*", ", ", m[1]) + "]", text)


def bar(share: float, width: int, *, empty: str = "") -> str:
    """Return a bar that fills ``share`` of ``width`` cells."""
    cells = round(min(max(share, 0.0), 1.0) * width)
    return "━" * cells + empty * (width - cells)
