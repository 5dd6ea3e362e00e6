"""Syntax errors in words a reader of specs knows: what stands at a place, what was expected, the mend."""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import Diagnostic, Fix
from ..source import Span
from .calls import explain_assigned, explain_call, explain_tuple
from .filter_rows import explain_filter
from .heads import explain_comparison, explain_head
from .place import BRACKETS, Place
from .words import TOP_WORDS

VALUES = {"NUMBER", "SIZE", "STRING", "NAME", "LPAR", "LSQB"}
HUMAN = {
    "COMMA": "`,`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "EQUALS": "`=`",
    "LBRACE": "`{`",
    "RELATION": "one of == != <= >= < >",
    "SIZE": "a size such as 28x28x1",
}
LOOKALIKES = {
    "→": ("->", "an arrow is written ->"),
    "⇒": ("->", "an arrow is written ->"),
    "×": ("x", "a size is written with the letter x: 3x3"),
    "–": ("-", "this dash is not a minus"),
    "—": ("-", "this dash is not a minus"),
    "−": ("-", "this is a typographic minus"),
    "“": ('"', 'quotes are straight: "'),
    "”": ('"', 'quotes are straight: "'),
    "„": ('"', 'quotes are straight: "'),
    "\u00a0": (" ", "this is a no-break space"),
    "\u200b": ("", "this is a zero-width space"),
    "\ufeff": ("", "this is a byte-order mark"),
    "≤": ("<=", "written <="),
    "≥": (">=", "written >="),
}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_NEARLY_ARROW = re.compile(r"(?:=|-[ \t]+)>")
_NUMBERISH = re.compile(r"[0-9][\w.%]*")
_WITHOUT_SIGN = {  # what other formats write behind a colon or `=`
    **dict.fromkeys(("input", "classes"), re.compile(r"[:=][ \t]*[0-9]")),
    **dict.fromkeys(("data", "train"), re.compile(r"[:=][ \t]*\{")),
}


def _at_end(place: Place) -> Diagnostic | None:
    opening = place.open_bracket()
    if place.kind != "$END" or opening is None:
        return None
    closing = BRACKETS[opening.type]
    message, label = f"`{opening}` is never closed", f"the file ends before its `{closing}`"
    return place.finding(message, label, span=place.span_of(opening), hint=f"add  {closing}  where this ends")


def _odd_character(place: Place) -> Diagnostic | None:
    char, line = place.text[place.offset : place.offset + 1], place.rest_of_line
    if char in LOOKALIKES:
        put, why = LOOKALIKES[char]
        message = f"`{char}` (U+{ord(char):04X}) is not a character of the language"
        return place.finding(message, why, hint=f"replace it by {put!r}" if put else "delete it", put=put)
    if char == '"' and line.count('"') < 2:
        message, hint = "this text has no closing quote", 'end it with  "  on the same line'
        return place.finding(message, span=place.span(len(line)), hint=hint)
    if char == "'":
        return _single_quotes(place)
    if char == ";":
        last = re.fullmatch(r";[ \t]*(#.*)?", line) is not None
        hint = "delete it" if last else "put what follows on a new line"
        message = "statements end with their line; there is no `;`"
        return place.finding(message, hint=hint, put="" if last else None)
    if char and ((ord(char) < 32 and char not in "\n\t\r") or ord(char) > 126):
        name = f"`{char}` (U+{ord(char):04X})" if char.isprintable() else f"U+{ord(char):04X}"
        message = f"{name} is not a character of the language"
        return place.finding(message, "names are made of the letters a to z, digits and _")
    return None


def _single_quotes(place: Place) -> Diagnostic:
    message = "texts stand in double quotes, words in none"
    quoted = re.match(r"'([^'\"]*)'", place.rest_of_line)
    if quoted is None:
        return place.finding(message, "found '", hint='write "like this"')
    is_word = place.follows("EQUALS") and _WORD.fullmatch(quoted[1])  # pad='same': words have no quotes
    written = quoted[1] if is_word else f'"{quoted[1]}"'
    span = place.span(len(quoted[0]))
    return place.finding(message, f"found {span.text[:40]}", span=span, hint=f"write {written}", put=written)


def _word(place: Place) -> Diagnostic | None:
    match = _WORD.match(place.text, place.offset)
    if match is None:
        return None
    word, span = match.group(), place.span(len(match.group()))
    if word in ("for", "in", "if", "else", "and", "or", "not"):
        message = f"`{word}` is a reserved word and cannot be a name"
        more = "; for the shape that enters write in.c, in.h or in.w" if word == "in" else ""
        return place.finding(message, span=span, code="reserved", hint=f"choose another name, such as {word}_{more}")
    return explain_call(place, match) if place.text.startswith("(", match.end()) else None


def _numberish(place: Place) -> Diagnostic | None:
    match = _NUMBERISH.match(place.text, place.offset)
    if match is None or place.kind:
        return None
    found = match.group()
    message = f"`{found[:40]}` is neither a number nor a size"
    label = "expected a number (64, 0.1, 5e-4, 1.8M, 10%) or a size (3x3, 28x28x1)"
    put = found.lower() if re.fullmatch(r"[0-9]+(?:X[0-9]+)+", found) else None
    return place.finding(message, label, span=place.span(len(found)), hint=f"write {put}" if put else "", put=put)


def _punctuation(place: Place) -> Diagnostic | None:
    arrow = _NEARLY_ARROW.search(place.text, max(0, place.offset - 5), place.offset + 5)
    if arrow is not None and arrow.start() <= place.offset < arrow.end():
        span, label = Span(place.source, arrow.start(), arrow.end()), f"expected ->, found {arrow.group()}"
        return place.finding("an arrow is written ->", label, span=span, hint="write ->", put="->")
    if place.kind == "RBRACE" and place.open_bracket(("LBRACE",)) is None:
        hint = "delete it, or look for a { that was closed too early"
        return place.finding("this `}` closes nothing", "no `{` is open here", hint=hint, put="", sure=False)
    if place.kind == "COMMA":
        message, label = "arguments are separated by spaces", "expected a space, found a comma"
        return explain_tuple(place) or place.finding(message, label, hint="delete the comma", put="")
    word = place.first_word
    value = _WITHOUT_SIGN.get(word) if len(place.partial) == 1 else None
    begun = value.match(place.text, place.offset) if value and place.kind in ("COLON", "EQUALS") else None
    if begun is not None:
        sign, deleted = ("a colon", "the colon") if place.kind == "COLON" else ("`=`", "the  =")
        between = Span(place.source, place.partial[0].end_pos or 0, begun.end() - 1)
        message = f"`{word}` stands without {sign}"
        return place.finding(message, hint=f"delete {deleted}", put=" ", instead_of=between)
    if place.kind == "COLON" and word in TOP_WORDS:
        message, hint = f"`{word}` is a reserved word and cannot be a label", f"choose another name, such as {word}_"
        return place.finding(message, span=place.span_of(place.partial[0]), code="reserved", hint=hint)
    if place.kind == "EQUALS" and word == "expect":
        message, label = "an expectation compares with `==`", "expected one of == != <= >= < >, found ="
        return place.finding(message, label, hint="write ==", put="==")
    if place.kind == "BAR":
        message = "rows and plain statements cannot be mixed"
        label = "a row starts here, but what stands before is no row"
        hint = "start each branch with |, the first one too:  concat { | conv 8 1x1 | identity }"
        return place.finding(message, label, hint=hint)
    if place.kind == "LBRACE" and place.at_start:
        hint = "put { on the line of what it belongs to, as in  residual {"
        return place.finding("a `{` stands alone", "expected a statement before it", hint=hint)
    return None


def _generic(place: Place) -> Diagnostic:
    last = place.last
    if place.follows("ARROW"):
        return _diagnose(place, "an arrow leads to nothing", "a layer after ->")
    if last is not None and last.type == "COLON":
        told = _diagnose(place, "a label names nothing", "a layer after the label")
        if place.kind not in ("NUMBER", "SIZE"):
            return told
        hint = "delete the colon: a layer is its name and its arguments"
        return replace(told, hint=hint, fix=Fix(place.span_of(last), "", sure=True))
    if place.follows("PLUS", "MINUS", "TIMES", "DIVIDE", "FLOOR"):
        more = "; a call needs parentheses around it" if "FUNCTION" not in place.accepts else ""
        return _diagnose(place, f"`{last}` has nothing on its right", f"a number or a name{more}")
    if place.at_start and place.text.startswith(("//", "/*"), place.offset):
        put = "#" if place.text.startswith("//", place.offset) else None
        return place.finding("a comment begins with #", span=place.span(2), hint="write #, on each line of it", put=put)
    if place.at_start:
        expected = "a layer, a label, or one of " + ", ".join(TOP_WORDS[:-1])
        return _diagnose(place, "a statement starts with a word", expected)
    if place.kind == "MINUS" and "LPAR" in place.accepts:
        value = re.compile(r"-\s*([\w.]+%?)").match(place.text, place.offset)
        hint = f"write (-{value.group(1)})" if value else "write (-1)"
        return _diagnose(place, "a bare argument has no leading minus", "a number, a size, a name or ( )", hint)
    opening = place.open_bracket()
    related: tuple[tuple[Span, str], ...] = ()
    if opening is not None and opening.type != "LBRACE" and {"RPAR", "RSQB"} & place.accepts:
        related = ((place.span_of(opening), "opened here"),)
    hint = "a path stands in double quotes" if place.first_word == "source" else ""
    if place.first_word == "use" and len(place.partial) == 1:
        path = re.compile(r"[\w./-]+").match(place.text, place.offset)
        name = path.group() if path is not None else "blocks.cnn"
        name = name if "." in name else f"{name}.cnn"
        span = place.span(len(path.group())) if path is not None else None
        put = f'"{name}"' if path is not None else None
        return place.finding("`use` names a file in double quotes", span=span, hint=f'write  use "{name}"', put=put)
    if place.first_word in ("data", "train") and len(place.partial) == 1:
        hint = "write  data { source digits }" if place.first_word == "data" else "write  train { epochs 10 }"
    return replace(_diagnose(place, "this cannot be read", _wanted(place.accepts), hint), related=related)


def _diagnose(place: Place, message: str, expected: str, hint: str = "") -> Diagnostic:
    length, found = _found(place)
    return place.finding(message, f"expected {expected}, found {found}", span=place.span(length), hint=hint)


def _found(place: Place) -> tuple[int, str]:
    """Return length and description of what stands at the place."""
    if place.offset >= len(place.text):
        return 1, "the end of the file"
    if place.text[place.offset] in "\r\n":
        return 1, "the end of the line"
    match = re.compile(r"->|//|[=!<>]=|\"[^\"\n]*\"|[\w.%]+|.").match(place.text, place.offset)
    assert match is not None
    return len(match.group()), f"`{match.group()[:40]}`"


def _wanted(accepts: set[str]) -> str:
    """Return the acceptable terminals in words."""
    words = []
    if accepts >= VALUES:
        words.append("an argument" if "ARROW" in accepts or "_NL" in accepts else "a number, a size, a name or ( )")
    elif "NAME" in accepts:
        words.append("a name")
    if accepts >= VALUES:
        accepts = accepts - {"SIZE"}
    if accepts & {"RPAR", "LBRACE"}:
        accepts = accepts - {"RELATION"}
    words += [HUMAN[t] for t in HUMAN if t in accepts]
    if "ARROW" in accepts:
        words.append("`->`")
    if "RBRACE" in accepts:
        words.append("`}`")
    if accepts & {"_NL", "$END"}:
        words.append("the end of the line")
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "something else"


EXPLANATIONS = (
    _at_end,
    explain_assigned,
    explain_head,
    _odd_character,
    explain_filter,
    _word,
    _numberish,
    _punctuation,
    explain_comparison,
    _generic,
)


def explain(place: Place) -> Diagnostic:
    """Return the diagnostic for a place where no rule goes on: the first explanation that fits."""
    return next(told for explanation in EXPLANATIONS if (told := explanation(place)) is not None)
