"""What the formatter writes on: a page of lines, which takes the comments along, and a strip that is one line.

The tree has no comments, so they travel beside it by position: before a page takes a token, it takes the comments that
stand before that token in the source. Where a comment can stand, a new line can begin too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...by_type import ByType
from ...source import Source, Span
from .. import ast
from ..comments import Comment, comments_of
from ..shape_comment import without_facts

WIDTH = 100  # characters of code in a line: as many as an error shows
STEP = 2  # how much further in a body stands, and a line that begins with an arrow
BESIDE = 34  # where comments beside code begin
FARTHEST = 60  # where they begin at most for the sake of one long line


class Alignment(NamedTuple):
    """How one statement is set among its neighbours, in characters.

    Attributes
    ----------
    hang : how much further in it stands: below the label of a line before it.
    label, word : width of its label, and of its first word.
    columns : widths of its arguments.
    steps : widths of its steps.
    """

    hang: int = 0
    label: int = 0
    word: int = 0
    columns: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()


PLAIN = Alignment()
LAYOUTS: ByType[Callable[[Page, Any], None]] = ByType("layout")
layout = LAYOUTS.adds


def write(page: Page, node: ast.Node) -> None:
    """Write a node on a page or a strip, by the layout of its class."""
    LAYOUTS.of(node)(page, node)


class TooLong(Exception):
    """Raised by a strip that is given more than one line."""


@dataclass
class Line:
    """A line of a page; ``blank`` asks for a blank line before it, ``beside`` says that its comment has a code's place.

    ``facts`` are those of a verified shape comment; ``column`` is where the comment stood in the source.
    """

    indent: int
    code: str = ""
    comment: str = ""
    blank: bool = False
    beside: bool = False
    facts: str = ""
    column: int = 0

    def printed(self, column: int) -> str:
        """Return the line, a comment beside code in a column or behind longer code."""
        comment = "  ".join(part for part in (self.facts, self.comment) if part)
        code = " " * self.indent + self.code if self.code else ""
        if not comment:
            return code
        if not code and not self.beside:
            return " " * self.indent + comment
        return f"{code.ljust(column - 2)}  {comment}"


class Page:
    """Lines of code, and the comments of the source that are still to come.

    Parameters
    ----------
    facts : verified facts of flows, by the offset at which each flow ends; None leaves shape comments as they are.

    Attributes
    ----------
    indent : of the line in which the node at hand begins.
    alignment : of the statement at hand.
    wide : whether long lists take several lines.
    words : whether the statements of the body at hand have their arguments below each other, as in sections.
    """

    is_strip = False

    def __init__(self, source: Source, facts: Mapping[int, str] | None = None) -> None:
        self.source, self.facts = source, facts
        self.lines: list[Line] = []
        self.indent, self.alignment, self.wide, self.words = 0, PLAIN, False, False
        self._comments = list(comments_of(source))
        self._starts = [comment.start for comment in self._comments]
        self._next = 0

    @property
    def column(self) -> int:
        """How long the line at hand is."""
        return self.lines[-1].indent + len(self.lines[-1].code)

    def put(self, text: str) -> None:
        """Write in the line at hand."""
        self.lines[-1].code += text

    def newline(self, indent: int, *, blank: bool = False) -> None:
        """Begin a line, after a blank one where that is asked for."""
        if self.lines:
            self.lines[-1].code = self.lines[-1].code.rstrip()
        self.lines.append(Line(indent, blank=blank))

    # ---- comments -------------------------------------------------------------------------------
    def comments_before(self, offset: int, indent: int, *, above: bool = False, spaced: bool = False) -> bool:
        """Write the comments that stand before an offset of the source; return whether there were any.

        One that stood beside code stands beside the line at hand, the others on lines of their own. Code that
        follows needs a new line.

        Parameters
        ----------
        above : put all on lines of their own, since their code is still to come.
        spaced : keep blank lines before them.
        """
        first = self._next
        while self._next < len(self._comments) and self._starts[self._next] < offset:
            comment = self._comments[self._next]
            self._next += 1
            self._take(comment, indent, above, spaced and self.has_blank_before(comment.start))
        return self._next > first

    def _take(self, comment: Comment, indent: int, above: bool, blank: bool) -> None:
        last = self.lines[-1] if self.lines else Line(0)
        last.code = last.code.rstrip()
        text = f"# {comment.text[1:]}" if comment.text[1:2].isalnum() else comment.text
        if self.facts is not None:
            text = without_facts(text)
        if not comment.alone and not above and last.code and not last.column:
            last.comment, last.column = text, comment.column
        elif text and comment.alone and not blank and last.column == comment.column:
            self.lines.append(Line(indent, "", text, beside=True, column=comment.column))
        elif text:
            self.lines.append(Line(indent, "", text, blank=blank))

    def has_comments(self, span: Span) -> bool:
        """Return whether comments stand inside a span of the source."""
        at = bisect_left(self._starts, span.start)
        return at < len(self._starts) and self._starts[at] < span.end

    def has_blank_before(self, offset: int) -> bool:
        """Return whether the line before that of an offset is blank, and nothing stands before it in its own."""
        line, column = self.source.locate(offset)
        return line > 1 and not self.source.line(line - 1).strip() and not self.source.line(line)[: column - 1].strip()

    # ---- one line -------------------------------------------------------------------------------
    def strip(self, node: ast.Node, room: int = WIDTH, alignment: Alignment = PLAIN) -> str | None:
        """Return a node on one line; None where it has comments, takes several lines or more than ``room``."""
        if self.has_comments(node.span):
            return None
        return self.strip_of(lambda strip: write(strip, node), room, alignment)

    def strip_of(self, layout: Callable[[Page], None], room: int = WIDTH, alignment: Alignment = PLAIN) -> str | None:
        """Return what a function writes, if that is one line of at most ``room`` characters, else None."""
        strip = Strip(self.source, room, alignment)
        try:
            layout(strip)
        except TooLong:
            return None
        return strip.text

    # ---- the whole ------------------------------------------------------------------------------
    def print(self) -> str:
        """Return the page as text, comments beside code in columns."""
        while self._next < len(self._comments):
            self.comments_before(len(self.source.text) + 1, 0, spaced=True)
        printed: list[str] = []
        for paragraph in self._paragraphs():
            beside = [line for line in paragraph if (line.code and (line.comment or line.facts)) or line.beside]
            ends = [line.indent + len(line.code) + 2 for line in beside if line.code]
            column = max([BESIDE, *(end for end in ends if end <= FARTHEST)])
            printed += [""] if printed else []
            at = column  # where the comment before stands
            for line in paragraph:
                printed.append(line.printed(at if line.beside else column))
                at = max(column, line.indent + len(line.code) + 2) if line.code else at
        return "\n".join([*printed, ""]) if printed else ""

    def _paragraphs(self) -> Iterator[list[Line]]:
        """Yield runs of lines; a blank line stands between them, and none behind an opening brace."""
        run: list[Line] = []
        for line in self.lines:
            if line.blank and run and not run[-1].code.endswith("{"):
                yield run
                run = []
            run.append(line)
        if run:
            yield run


class Strip(Page):
    """One line of at most ``room`` characters of a node without comments; raises TooLong where that does not do."""

    is_strip = True

    def __init__(self, source: Source, room: int, alignment: Alignment) -> None:
        self.source, self.room, self.alignment, self.text = source, room, alignment, ""
        self.facts, self.indent, self.wide, self.words = None, 0, False, False

    @property
    def column(self) -> int:
        return len(self.text)

    def put(self, text: str) -> None:
        self.text += text
        if len(self.text) > self.room:
            raise TooLong

    def newline(self, indent: int, *, blank: bool = False) -> None:
        raise TooLong

    def comments_before(self, offset: int, indent: int, *, above: bool = False, spaced: bool = False) -> bool:
        return False

    def has_comments(self, span: Span) -> bool:
        return False
