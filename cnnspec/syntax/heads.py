"""The heads of ``for`` and ``if``, as other languages write them."""

from __future__ import annotations

import re

from lark import Token

from ..errors import Diagnostic
from ..source import Span
from .place import Place

_ELSE_IF = re.compile(r"(?:elif|elseif|elsif)\b")
_OPERATORS = {"&&": "and", "||": "or", "!": "not ", "=": "==", "is not": "!=", "is": "=="}
_OPERATOR = re.compile(r"&&|\|\||!(?!=)|=(?!=)|is[ \t]+not\b|is\b")
_FORMS = {
    "IF": "write  if c > 8 { bn } else { relu }",
    "FOR": "write  for c, n in [(16, 1), (32, 2)] { conv c 3x3 }",
}


def explain_head(place: Place) -> Diagnostic | None:
    """Explain a place in the head of a ``for`` or ``if``, or where one may have been meant."""
    if re.compile(r"else\b").match(place.text, place.offset):
        return _lonely_else(place)
    match = _ELSE_IF.match(place.text, place.offset)
    if match is not None:
        message, span = f"`{match.group()}` is written else if", place.span(len(match.group()))
        return place.finding(message, span=span, hint="write  else if", put="else if")
    if place.first_word in ("while", "until") and len(place.partial) <= 3:
        message = f"there is no `{place.first_word}`: each loop says how often it runs"
        hint = "write  repeat 3 { ... }  or  for i in 3 { ... }"
        return place.finding(message, span=place.span_of(place.partial[0]), hint=hint)
    head = _head(place)
    if head is None:
        return None
    if place.kind == "COLON":
        return place.finding("a body stands in braces, without a colon", hint=_FORMS[head.type])
    brace = re.compile(r"\s*\{").match(place.text, place.offset)
    if place.kind == "_NL" and brace is not None:
        span = place.span(brace.end() - place.offset)
        message, label = "the `{` of a body stands on the line of its head", f"`{head}` has no body"
        here = Span(place.source, place.offset, place.offset + 1)
        return place.finding(message, label, span=here, hint="move it up", put=" {", instead_of=span)
    told = _if(place) if head.type == "IF" else _for(place, head)
    if told is None and place.kind in ("_NL", "NAME", "ARROW", "$END", "RBRACE") and "LBRACE" in place.accepts:
        told = place.finding(f"`{head}` has no body", "expected {", hint=_FORMS[head.type])
    return told


def _head(place: Place) -> Token | None:
    """Return the ``for`` or ``if`` whose head the place is in."""
    for value in reversed(place.stack):
        if isinstance(value, Token) and value.type in ("FOR", "IF", "LBRACE"):
            return None if value.type == "LBRACE" else value
    return None


def _lonely_else(place: Place) -> Diagnostic | None:
    before = place.text[: place.offset].rstrip()
    if not place.at_start and place.kind != "ELSE":
        return None
    span, instead = place.span(4), None
    if before.endswith("}") and place.at_start:
        message, label = "`else` stands on the line of the `}` before it", "expected after a }"
        instead = Span(place.source, len(before), place.offset)
        return place.finding(message, label, span=span, hint="write  } else {", put=" ", instead_of=instead)
    label = "no `if` ends right before it"
    return place.finding("`else` belongs to an `if`", label, span=span, hint=_FORMS["IF"])


def _if(place: Place) -> Diagnostic | None:
    match = _OPERATOR.match(place.text, place.offset)
    if match is not None:
        written = _OPERATORS[" ".join(match.group().split())]
        message, span = f"`{match.group()}` is written {written.strip()}", place.span(len(match.group()))
        return place.finding(message, span=span, hint=f"write  {written.strip()}", put=written)
    if place.kind == "RELATION":
        message, hint = "a comparison has two sides", "join two of them by `and`, as in  1 < c and c < 9"
        return place.finding(message, span=place.span(1), hint=hint)
    word = re.compile(r"then\b[ \t]*|(?:not[ \t]+)?in\b").match(place.text, place.offset)
    if word is not None and word.group().startswith("then"):
        message = "the braces are enough: there is no `then`"
        return place.finding(message, span=place.span(len(word.group())), hint="delete it", put="")
    if word is not None:
        message, hint = "a condition has no `in`", "compare with each, as in  c == 8 or c == 16"
        return place.finding(message, span=place.span(len(word.group())), hint=hint)
    return None


def _for(place: Place, head: Token) -> Diagnostic | None:
    begun = place.text[head.end_pos or 0 :].partition("\n")[0]
    names = re.match(r"[ \t]*(\([ \t]*([\w \t,]+?)[ \t]*\))[ \t]*in\b", begun)
    if names is not None:
        start = (head.end_pos or 0) + names.start(1)
        span = Span(place.source, start, start + len(names[1]))
        return place.finding(
            "the names of a loop stand without ( )", span=span, hint=f"write  {names[2]}", put=names[2]
        )
    if place.kind == "EQUALS" and "IN" in place.accepts:
        return place.finding("a loop is written with `in`", "expected in", hint="write  in", put="in")
    if place.kind == "COMMA":
        listed = re.match(r"[ \t\w,]*?\bin[ \t]+(\(?[^{}\[\]#]*?\)?)[ \t]*\{", begun)
        message = "a loop runs over a list in [ ]"
        if listed is None:
            return place.finding(message, hint="write  for c in [16, 32] { ... }")
        start, put = (head.end_pos or 0) + listed.start(1), f"[{listed[1]}]"
        span = Span(place.source, start, start + len(listed[1]))
        return place.finding(message, span=span, hint=f"write  {put}", put=put)
    if "IN" in place.accepts:
        return place.finding("a loop is written with `in`", "expected in", hint=_FORMS["FOR"])
    return None


def explain_comparison(place: Place) -> Diagnostic | None:
    """Explain ``bias=c>8``, a comparison that needs parentheses."""
    if place.kind != "RELATION" or not place.first_word or place.at_start:
        return None
    return place.finding("a comparison as a value stands in ( )", hint="write it as in  bias=(c > 8)")
