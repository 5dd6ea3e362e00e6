"""The place where the parser stopped, and what is known there."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from lark import Token

from ..errors import Diagnostic, Fix
from ..source import Source, Span

BRACKETS = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}


class Place:
    """All that is known where the parser stopped."""

    def __init__(self, source: Source, offset: int, kind: str, state: Any, base: int | None, accepts: set[str]) -> None:
        self.source, self.offset, self.kind, self.accepts = source, offset, kind, accepts
        self.stack: list[Any] = list(state.value_stack)
        self.partial: list[Any] = self.stack[base:] if base is not None else []
        self.text = source.text

    def span(self, length: int = 1) -> Span:
        return Span(self.source, self.offset, min(len(self.text), self.offset + length))

    def span_of(self, token: Token) -> Span:
        return Span(self.source, token.start_pos or 0, token.end_pos or 0)

    def finding(
        self,
        message: str,
        label: str = "",
        *,
        span: Span | None = None,
        code: str = "syntax",
        hint: str = "",
        put: str | None = None,
        instead_of: Span | None = None,
        sure: bool = True,
    ) -> Diagnostic:
        """Return a diagnostic at ``span``, else at the next character; its fix puts a text there or ``instead_of``."""
        span = span or self.span()
        fix = Fix(instead_of or span, put, sure) if put is not None else None
        return Diagnostic(code, message, span, label, hint=hint, fix=fix)

    @property
    def rest_of_line(self) -> str:
        return self.text[self.offset :].partition("\n")[0]

    @property
    def at_start(self) -> bool:
        """Whether a statement could begin here."""
        return "DATA" in self.accepts or not self.partial

    @property
    def last(self) -> Token | None:
        """The token before the place."""
        value = self.stack[-1] if self.stack else None
        return value if isinstance(value, Token) else None

    def follows(self, *kinds: str) -> bool:
        """Return whether the token before the place is one of these kinds."""
        return self.last is not None and self.last.type in kinds

    @property
    def first_word(self) -> str:
        for value in self.partial:
            return str(value) if isinstance(value, Token) else ""
        return ""

    def open_bracket(self, kinds: Container[str] = BRACKETS) -> Token | None:
        """Return the innermost bracket of these kinds that is still open."""
        for value in reversed(self.stack):
            if isinstance(value, Token) and value.type in kinds:
                return value
        return None
