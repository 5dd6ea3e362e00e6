"""The place where the parser stopped, and what is known there."""

from __future__ import annotations

from typing import Any

from lark import Token

from ..source import Source, Span


class Place:
    """All that is known where the parser stopped."""

    def __init__(self, source: Source, offset: int, kind: str, state: Any, base: int | None, accepts: set[str]) -> None:
        self.source, self.offset, self.kind, self.accepts = source, offset, kind, accepts
        self.stack: list[Any] = list(state.value_stack)
        self.partial: list[Any] = self.stack[base:] if base is not None else []
        self.text = source.text

    def span(self, length: int = 1) -> Span:
        return Span(self.source, self.offset, min(len(self.text), self.offset + length))

    @property
    def at_start(self) -> bool:
        """Whether a statement could begin here."""
        return "DATA" in self.accepts or not self.partial

    @property
    def last(self) -> Token | None:
        """The token before the place."""
        value = self.stack[-1] if self.stack else None
        return value if isinstance(value, Token) else None

    @property
    def first_word(self) -> str:
        for value in self.partial:
            return str(value) if isinstance(value, Token) else ""
        return ""

    def open_bracket(self, *kinds: str) -> Token | None:
        """Return the innermost bracket of these kinds that is still open."""
        for value in reversed(self.stack):
            if isinstance(value, Token) and value.type in kinds:
                return value
        return None
