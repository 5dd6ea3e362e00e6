"""Calls and tuples in words: a layer is its name and its arguments, and a size is one word."""

from __future__ import annotations

import re

from lark import Token

from ..errors import Diagnostic
from ..source import Span
from .place import Place

_TUPLE = re.compile(r"[(]\s*[0-9]+(?:\s*,\s*[0-9]+){1,2}\s*,?\s*[)]")


def explain_call(place: Place, match: re.Match[str]) -> Diagnostic:
    word, end = match.group(), _closing(place.text, match.end())
    foreign = _foreign(place, place.offset, end)
    if foreign is not None:
        return foreign
    span, call = place.span(end - place.offset), place.text[place.offset : end]
    if word.rpartition(".")[2] == "Sequential":
        hint = "write its layers, one a line or chained by ->"
        return place.finding("a net stands in no call", span=place.span(len(word)), hint=hint)
    if "." in word and place.kind == "":
        message, hint = f"`{word}` is written as in another library", "run  cnnspec layers  to see what there is"
        return place.finding(message, span=span, hint=hint)
    if not (place.at_start or place.follows("ARROW", "COLON")):
        message = "a call as a bare argument needs parentheses around it"
        return place.finding(message, span=span, hint=f"write ({call[:60]})", put=f"({call})")
    message = f"`{word}` is called without parentheses and commas"
    inner = call[len(word) + 1 : -1]
    if not call.endswith(")") or set(inner) & set("()[]{}#"):
        return place.finding(message, span=span, hint="write its name and its arguments, separated by spaces")
    written = " ".join([word, *inner.replace(",", " ").split()])
    return place.finding(message, span=span, hint=f"write  {written[:60]}", put=written)


def explain_assigned(place: Place) -> Diagnostic | None:
    """Explain ``x = Conv2D(64, kernel_size=3)``, where the parser stops inside of what it takes for a call."""
    kinds = [value.type if isinstance(value, Token) else "" for value in place.partial[:4]]
    if kinds != ["NAME", "EQUALS", "FUNCTION", "LPAR"]:
        return None
    start, opening = place.partial[2].start_pos, place.partial[3].start_pos
    return _foreign(place, start, _closing(place.text, opening))


def _foreign(place: Place, begin: int, end: int) -> Diagnostic | None:
    """Return the diagnostic for a layer as Keras or PyTorch write it, perhaps assigned to a name."""
    assigned = [v.type for v in place.partial[:2] if isinstance(v, Token)] == ["NAME", "EQUALS"]
    if not (place.at_start or place.follows("ARROW", "COLON") or assigned):
        return None
    from .foreign import translate

    text, call = place.text, place.text[begin:end]
    if text[end : end + 1] == "(":  # layers.Flatten()(x)
        end = _closing(text, end)
    rest = re.compile(r"[ \t]*,?(?=[ \t]*(?:#|\r?\n|\Z))").match(text, end)
    end = rest.end() if rest is not None else end
    found = translate(call)
    if found is None:
        return None
    written, exact, left_out = found
    if re.search(r"^[ \t]*input\b", text, re.MULTILINE):
        written = re.sub(r"^input \S+ -> ", "", written)
    start = place.partial[0].start_pos if assigned else begin
    message = f"`{call.partition('(')[0]}` is written as in another library"
    hint = f"write  {written}" + (f"  ({', '.join(left_out)} left out)" if left_out else "")
    label = "here a layer is its name and its arguments"
    return place.finding(message, label, span=Span(place.source, start, end), hint=hint, put=written, sure=exact)


def _closing(text: str, opening: int) -> int:
    """Return the offset after the bracket that closes the one at ``opening`` (or after the line)."""
    depth = 0
    for i in range(opening, min(len(text), opening + 2000)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
        if text[i] == "\n":
            return i
    return min(len(text), opening + 1)


def explain_tuple(place: Place) -> Diagnostic | None:
    """Explain ``(3, 3)``, which is a size elsewhere."""
    opening = place.open_bracket()
    match = _TUPLE.match(place.text, opening.start_pos or 0) if opening is not None else None
    if match is None:
        return None
    size = "x".join(re.findall("[0-9]+", match.group()))
    span = Span(place.source, match.start(), match.end())
    return place.finding("a size is one word", "expected a size", span=span, hint=f"write {size}", put=size)
