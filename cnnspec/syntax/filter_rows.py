"""What cannot stand in a filter, in words: its rows are numbers separated by spaces."""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import Diagnostic
from .place import Place

FORM = "filter vertical { 1 0 -1 }, with each row on a line"
_COMMAS = re.compile(r",[-+0-9.eE%/, \t]*")
_POINT = re.compile(r"\.[0-9]+")


def explain_filter(place: Place) -> Diagnostic | None:
    """Explain what the parser stopped at inside of ``filter NAME { ... }``."""
    if place.first_word != "filter":
        return None
    opening = place.open_bracket(("LBRACE",))
    if opening is None or not any(value is opening for value in place.partial):
        found = re.match(r"\w+|.|", place.rest_of_line).group()  # type: ignore[union-attr]
        if len(place.partial) == 1 and found[:1].isalpha() and not place.rest_of_line.startswith("(", len(found)):
            return None  # a reserved word
        message, label = "a filter is a name and rows of numbers in { }", f"found {_shown(found)}"
        return place.finding(message, label, hint=f"write  {FORM}")
    commas = _COMMAS.match(place.text, place.offset)
    if commas is not None:
        written = re.sub(r"[ \t]*,[ \t]*", " ", commas.group())
        message, label = "the numbers of a row are separated by spaces", "expected a space, found a comma"
        span = place.span(len(commas.group()))
        return place.finding(message, label, instead_of=span, hint="put spaces in place of the commas", put=written)
    point = _POINT.match(place.text, place.offset)
    if point is not None:
        put = f"0{point.group()}"
        return place.finding(
            "a number begins with a digit", span=place.span(len(put) - 1), hint=f"write {put}", put=put
        )
    if place.kind == "BAR":
        message, label = "each input channel of a filter begins with a bar", "the numbers before this bar have none"
        hint = "put a | before the first row too:  filter grey { | 0.3 | 0.6 | 0.1 }"
        return place.finding(message, label, hint=hint)
    found = re.match(r"[\w.%]+|.|", place.rest_of_line).group()  # type: ignore[union-attr]
    if place.offset >= len(place.text):
        return None
    message, label = "a filter holds numbers, one row a line", f"expected a number or }}, found {_shown(found)}"
    told = place.finding(message, label, span=place.span(max(1, len(found))), hint=f"write  {FORM}")
    return replace(told, related=((place.span_of(opening), "the filter begins here"),))


def _shown(found: str) -> str:
    return f"`{found[:40]}`" if found.strip() else "the end of the line"
