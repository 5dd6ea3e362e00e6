"""Spec text and places in it: every token, layer and message points here."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol


class Files(Protocol):
    """The files that a spec may use, by their path from its folder."""

    def read(self, path: str) -> Source:
        """Return the text of a file. Raises DataError or SpecError where it may not or cannot be read."""


@dataclass(frozen=True)
class Source:
    """The text of one spec and the name it is reported under (a path, or ``<text>``).

    ``files`` are those that ``use`` may name; None where the spec is no file.
    """

    name: str
    text: str = field(repr=False)
    files: Files | None = field(default=None, repr=False, compare=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        """Where each line begins; the last number is where one more would."""
        return [0, *(i + 1 for i, ch in enumerate(self.text + "\n") if ch == "\n")]

    def locate(self, offset: int) -> tuple[int, int]:
        """Return the line and column, both counted from 1, of a character offset."""
        row = bisect_right(self._line_starts, offset) - 1
        return row + 1, offset - self._line_starts[row] + 1

    def line(self, number: int) -> str:
        """Return the text of a line counted from 1, without its newline."""
        return self.text[self._line_starts[number - 1] : self._line_starts[number] - 1]


@dataclass(frozen=True)
class Span:
    """A half-open range of characters ``[start, end)`` of one source."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.locate(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.locate(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """Return the span from the start of this one to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Frame:
    """One step of the call trail of an expanded layer: the block, repeat or branch it came through."""

    kind: str  # "block", "repeat", "residual", "concat", ...
    name: str  # the block's name, or the round of a repeat, e.g. "2 of 3"
    span: Span  # where it was called


Trail = tuple[Frame, ...]
