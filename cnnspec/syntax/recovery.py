"""The way on after a syntax error.

Lark stops at the first token that no rule wants. :class:`Recovery` has it explained, puts a broken statement
in place of the one at fault, and goes on at the next newline or closing brace, so that one run reports what
the whole file holds.
"""

from __future__ import annotations

import re
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from ..errors import Diagnostic
from ..source import Source
from .explain import explain
from .place import Place

MAX_ERRORS = 20
_LANDMARKS = re.compile(r'"[^"\n]*"|#[^\n]*|[{}\n]')


class Recovery:
    """Lark's ``on_error``: collects a diagnostic and moves the parser past the statement at fault."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self._resumed_at = -1

    def __call__(self, error: UnexpectedInput) -> bool:
        interactive: Any = error.interactive_parser
        state, lexer = interactive.parser_state, interactive.lexer_thread.state
        offset, kind = self._place(error)
        base = self._statement_start(state)
        if not self._is_echo(kind, offset):
            place = Place(self.source, offset, kind, state, base, set(interactive.accepts()))
            self.diagnostics.append(explain(place))
        at_end = offset >= len(self.source.text)
        if at_end or len(self.diagnostics) >= MAX_ERRORS or base is None:
            return False
        start = offset
        unclosed = sum(isinstance(v, Token) and v.type == "LBRACE" for v in state.value_stack[base:])
        if state.value_stack[base:]:
            start = min(start, _start_of(state.value_stack[base:]))
        _replace_by_broken_statement(state, base, start, offset)
        in_braces = any(isinstance(v, Token) and v.type == "LBRACE" for v in state.value_stack)
        target = self._next_statement(max(offset, self._resumed_at + 1), in_braces, unclosed)
        self._resumed_at = lexer.line_ctr.char_pos = target
        return True

    def _place(self, error: UnexpectedInput) -> tuple[int, str]:
        if not isinstance(error, UnexpectedToken):
            return error.pos_in_stream or 0, ""
        token = error.token
        if token.type == "$END":
            return len(self.source.text), "$END"
        offset = token.start_pos or 0
        if token.type == "ARROW":  # its text may begin with newlines and comments
            offset += _arrow_offset(token)
        return offset, token.type

    def _is_echo(self, kind: str, offset: int) -> bool:
        """A table that starts with a statement fails again at each of its bars; once is enough."""
        if kind != "BAR" or not self.diagnostics:
            return False
        last = self.diagnostics[-1].span
        return last.text == "|" and self.source.locate(offset)[0] - last.line <= 1

    @staticmethod
    def _statement_start(state: Any) -> int | None:
        """Return the depth of the stack at which the statement at fault began."""
        states = state.parse_conf.states
        for depth in range(len(state.state_stack) - 1, -1, -1):
            if "flow" in states[state.state_stack[depth]]:
                return depth
        return None

    def _next_statement(self, offset: int, in_braces: bool, unclosed: int = 0) -> int:
        """Return the offset of the next newline or `}` of this level, past bodies, strings and comments.

        ``unclosed`` braces belong to the statement at fault; where they are never closed, they do not count.
        """
        depth = unclosed
        for match in _LANDMARKS.finditer(self.source.text, offset):
            landmark = match.group()
            if depth == 0 and (landmark == "\n" or (landmark == "}" and in_braces)):
                return match.start()
            if landmark in "{}":
                depth = max(0, depth + (1 if landmark == "{" else -1))
        return self._next_statement(offset, in_braces) if unclosed else max(offset, len(self.source.text))


def _arrow_offset(token: str) -> int:
    match = re.match(r"(?:[ \t\r\n]|#[^\n]*\n)*", token)
    return match.end() if match else 0


def _start_of(values: list[Any]) -> int:
    """Return the offset of the first token in a list of partly built trees."""
    for value in values:
        if isinstance(value, Token):
            return value.start_pos or 0
        if isinstance(value, Tree):
            for token in value.scan_values(lambda v: isinstance(v, Token)):
                return token.start_pos or 0
    return 1 << 60


def _replace_by_broken_statement(state: Any, base: int, start: int, end: int) -> None:
    """Pop what was read of the statement and push a broken one, as if it had been reduced."""
    del state.state_stack[base + 1 :]
    del state.value_stack[base:]
    marker = Token("BROKEN", "", start_pos=start, end_pos=max(start, end))
    _, after = state.parse_conf.states[state.state_stack[-1]]["flow"]
    state.state_stack.append(after)
    state.value_stack.append(Tree("broken", [marker]))
