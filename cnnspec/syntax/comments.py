"""The comments of a spec. The grammar drops them; they are found by position, beside the tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..source import Source

_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')


@dataclass(frozen=True)
class Comment:
    """A comment: ``column`` counts from 1; ``alone`` says that no code stands before it in its line."""

    start: int
    text: str
    column: int
    alone: bool


def comments_of(source: Source) -> Iterator[Comment]:
    """Yield the comments of a text, in order, without the spaces behind them."""
    for match in _COMMENT.finditer(source.text):
        text = match.group().rstrip()
        if text[0] == "#":
            line, column = source.locate(match.start())
            yield Comment(match.start(), text, column, not source.line(line)[: column - 1].strip())
