"""Comments that turn rules off: ``# lint: off heavy-dense: as published``.

The grammar drops comments, so they are found in the text by their place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...source import Source, Span
from ...syntax.comments import comments_of

_OFF = re.compile(r"#\s*lint:\s*off\b([^:]*)", re.IGNORECASE)  # the names; a reason may follow behind a colon


@dataclass(frozen=True)
class Off:
    """Rules that are off in one line of the spec, from 1: those named, with their places, or all where none is."""

    line: int
    names: tuple[tuple[str, Span], ...]

    def covers(self, rule: str) -> bool:
        return not self.names or any(rule == name for name, _ in self.names)


def offs_of(source: Source) -> Iterator[Off]:
    """Yield what comments turn off: in their own line, or in the next line of code where they stand alone."""
    if "lint" not in source.text:
        return
    following = _lines_of_code(source)
    for comment in comments_of(source):
        match = _OFF.search(comment.text)
        if match is None:
            continue
        begin = comment.start + match.start(1)
        words = re.finditer(r"[^\s,]+", match[1])
        names = [(w[0], Span(source, begin + w.start(), begin + w.end())) for w in words]
        line = source.locate(comment.start)[0]
        yield Off(following[line] if comment.alone else line, tuple(names))


def offs_by_line(source: Source) -> Mapping[int, list[Off]]:
    """Return what comments turn off in each line where they do."""
    found: dict[int, list[Off]] = {}
    for off in offs_of(source):
        found.setdefault(off.line, []).append(off)
    return found


def _lines_of_code(source: Source) -> list[int]:
    """Return, for each line from 1, the number of the next line that holds more than a comment; 0 where none does."""
    lines = source.text.split("\n")
    following, code = [0] * (len(lines) + 1), 0
    for number in range(len(lines), 0, -1):
        following[number] = code
        text = lines[number - 1].strip()
        if text and text[0] != "#":
            code = number
    return following
