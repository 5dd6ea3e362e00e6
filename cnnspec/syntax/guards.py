"""What is asked of a text before it is parsed: that it is a spec at all, and one that is read in seconds."""

from __future__ import annotations

import re
from itertools import islice

from ..errors import Diagnostic, SpecError
from ..source import Source, Span

MAX_BYTES = 1_000_000
MAX_TOKENS = 100_000  # words, numbers and signs; a net of 20,000 layers needs fewer
MAX_NESTING = 50  # brackets within brackets; the deepest published nets need six

_TOKENS = re.compile(r'"[^"\n]*"|#[^\n]*\n?|[\w.]+|[^\s\w]')
_BRACKETS = re.compile(r'"[^"\n]*"|#[^\n]*|[(\[{]|[)\]}]')


def refuse_what_is_no_spec(source: Source) -> None:
    """Raise SpecError for a text that is no spec, or could take minutes to read."""
    size = len(source.text)
    if size > MAX_BYTES:
        raise too_large(source.name, size, source.text[:80].split("\n")[0])
    nul = source.text.find("\0")
    if nul >= 0:
        message, label = "a NUL character stands in the text; this is no spec", "expected text, found a NUL"
        hint = "specs are plain UTF-8 text; was another file meant?"
        raise SpecError([Diagnostic("encoding", message, Span(source, nul, nul + 1), label, hint=hint)])
    if size > MAX_TOKENS:  # fewer characters hold fewer tokens
        ends = (match.end() for match in _TOKENS.finditer(source.text))
        end = next(islice(ends, MAX_TOKENS, None), None)
        if end is not None:
            message = f"the spec has more than {MAX_TOKENS:,} words, numbers and signs"
            hint = "write what repeats by  repeat, for  or a block"
            raise SpecError([Diagnostic("too-large", message, Span(source, end - 1, end), hint=hint)])
    open_at: list[int] = []
    for match in _BRACKETS.finditer(source.text):
        if match.group() in ("(", "[", "{"):
            open_at.append(match.start())
            if len(open_at) > MAX_NESTING:
                here = Span(source, match.start(), match.end())
                message = f"brackets are nested more than {MAX_NESTING} deep"
                raise SpecError([Diagnostic("nesting", message, here, hint="split the net into blocks")])
        elif match.group() in (")", "]", "}") and open_at:
            open_at.pop()


def count_tokens(text: str) -> int:
    """Return about how many words, numbers and signs a text holds, comments and texts as one each."""
    return sum(1 for _ in _TOKENS.finditer(text))


def too_large(name: str, nbytes: int, first_line: str = "") -> SpecError:
    """Return the error for a file that is too large to be a spec; nothing but its first line was read."""
    message = f"the file has {nbytes:,} bytes, and a spec may have at most {MAX_BYTES:,}"
    here = Span(Source(name, first_line[:80]), 0, 1)
    return SpecError(
        [Diagnostic("too-large", message, here, hint="was another file meant? weights and data are not specs")]
    )
