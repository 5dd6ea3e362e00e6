"""Syntax errors in words a reader of specs knows: what stands at a place, what was expected, the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ..errors import Diagnostic, Fix
from ..source import Span
from .calls import explain_assigned, explain_call, explain_tuple
from .place import Place

LATER = {
    "for": "write the rows one by one, or use  repeat N { ... }",
    "if": "write two blocks, one for each case",
    "else": "write two blocks, one for each case",
    "filter": "filters written as numbers come with the second half of the language",
    "use": "copy the blocks you need into this file",
    "sweep": "run  cnnspec train --set name=value  once for each value",
}
SECTION_WORDS = ("input", "classes", "defaults", "param", "block", "expect", "data", "train", "cnnspec")

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


def explain(place: Place) -> Diagnostic:
    """Return the diagnostic for a place where no rule goes on: the first explanation that fits."""
    return next(d for d in _explanations(place) if d is not None)


_VALUES = {  # what other formats write behind a colon or `=`
    **dict.fromkeys(("input", "classes"), re.compile(r"[:=][ \t]*[0-9]")),
    **dict.fromkeys(("data", "train"), re.compile(r"[:=][ \t]*\{")),
}


def _explanations(place: Place) -> Iterator[Diagnostic | None]:
    yield _at_end(place)
    yield explain_assigned(place)
    yield _odd_character(place)
    yield _word(place)
    yield _numberish(place)
    yield _punctuation(place)
    yield _generic(place)


def _at_end(place: Place) -> Diagnostic | None:
    if place.kind != "$END":
        return None
    opening = place.open_bracket("LPAR", "LSQB", "LBRACE")
    if opening is None:
        return None
    start = opening.start_pos or 0
    closing = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}[opening.type]
    return Diagnostic(
        "syntax",
        f"`{opening}` is never closed",
        Span(place.source, start, start + 1),
        f"the file ends before its `{closing}`",
        hint=f"add  {closing}  where this ends",
    )


def _odd_character(place: Place) -> Diagnostic | None:
    char = place.text[place.offset : place.offset + 1]
    if char in LOOKALIKES:
        replacement, why = LOOKALIKES[char]
        return Diagnostic(
            "syntax",
            f"`{char}` (U+{ord(char):04X}) is not a character of the language",
            place.span(),
            why,
            hint=f"replace it by {replacement!r}" if replacement else "delete it",
            fix=Fix(place.span(), replacement, sure=True),
        )
    if char == '"':
        end = place.text.find("\n", place.offset)
        length = (end if end >= 0 else len(place.text)) - place.offset
        if place.text.count('"', place.offset, place.offset + length) < 2:
            return Diagnostic(
                "syntax",
                "this text has no closing quote",
                place.span(length),
                hint='end it with  "  on the same line',
            )
    if char == "'":
        quoted = re.compile(r"'([^'\"\n]*)'").match(place.text, place.offset)
        if quoted is None:
            written = '"like this"'
        elif place.last is not None and place.last.type == "EQUALS" and _WORD.fullmatch(quoted[1]):
            written = quoted[1]  # pad='same': words have no quotes
        else:
            written = f'"{quoted[1]}"'
        span = place.span(len(quoted[0]) if quoted else 1)
        return Diagnostic(
            "syntax",
            "texts stand in double quotes, words in none",
            span,
            f"found {span.text[:40]}",
            hint=f"write {written}",
            fix=Fix(span, written, sure=True) if quoted else None,
        )
    if char == ";":
        last = re.compile(r";[ \t]*(#.*)?$", re.MULTILINE).match(place.text, place.offset) is not None
        return Diagnostic(
            "syntax",
            "statements end with their line; there is no `;`",
            place.span(),
            hint="delete it" if last else "put what follows on a new line",
            fix=Fix(place.span(), "", sure=True) if last else None,
        )
    if char and ((ord(char) < 32 and char not in "\n\t\r") or ord(char) > 126):
        name = f"`{char}` (U+{ord(char):04X})" if char.isprintable() else f"U+{ord(char):04X}"
        return Diagnostic(
            "syntax",
            f"{name} is not a character of the language",
            place.span(),
            "names are made of the letters a to z, digits and _",
        )
    return None


def _word(place: Place) -> Diagnostic | None:
    match = _WORD.match(place.text, place.offset)
    if match is None:
        return None
    word = match.group()
    if word in LATER and (place.at_start or (word == "else" and place.last is None)):
        return Diagnostic(
            "later",
            f"`{word}` comes in a later version of the language",
            place.span(len(word)),
            "not known to this version",
            hint=LATER[word],
        )
    if word in LATER or word == "in":
        more = "; for the shape that enters write in.c, in.h or in.w" if word == "in" else ""
        return Diagnostic(
            "reserved",
            f"`{word}` is a reserved word and cannot be a name",
            place.span(len(word)),
            hint=f"choose another name, such as {word}_{more}",
        )
    if place.text[match.end() : match.end() + 1] == "(":
        return explain_call(place, match)
    if place.partial and place.first_word in SECTION_WORDS and place.kind in ("NAME", "FUNCTION"):
        return None
    return None


def _numberish(place: Place) -> Diagnostic | None:
    match = _NUMBERISH.match(place.text, place.offset)
    if match is None or place.kind:
        return None
    found = match.group()
    expected = "a number (64, 0.1, 5e-4, 1.8M, 10%) or a size (3x3, 28x28x1)"
    capital = re.fullmatch(r"[0-9]+(?:X[0-9]+)+", found)
    return Diagnostic(
        "syntax",
        f"`{found[:40]}` is neither a number nor a size",
        place.span(len(found)),
        f"expected {expected}",
        hint=f"write {found.lower()}" if capital else "",
        fix=Fix(place.span(len(found)), found.lower(), sure=True) if capital else None,
    )


def _punctuation(place: Place) -> Diagnostic | None:
    arrow = _NEARLY_ARROW.search(place.text, max(0, place.offset - 5), place.offset + 5)
    if arrow is not None and arrow.start() <= place.offset < arrow.end():
        span = Span(place.source, arrow.start(), arrow.end())
        return Diagnostic(
            "syntax", "an arrow is written ->", span, f"expected ->, found {span.text}", hint="write ->",
            fix=Fix(span, "->", sure=True),
        )  # fmt: skip
    if place.kind == "RBRACE" and place.open_bracket("LBRACE") is None:
        return Diagnostic(
            "syntax",
            "this `}` closes nothing",
            place.span(),
            "no `{` is open here",
            hint="delete it, or look for a { that was closed too early",
            fix=Fix(place.span(), ""),
        )
    tuple_ = explain_tuple(place) if place.kind == "COMMA" else None
    if tuple_ is not None:
        return tuple_
    if place.kind == "COMMA":
        return Diagnostic(
            "syntax",
            "arguments are separated by spaces",
            place.span(),
            "expected a space, found a comma",
            hint="delete the comma",
            fix=Fix(place.span(), "", sure=True),
        )
    value = _VALUES.get(place.first_word) if len(place.partial) == 1 else None
    begun = value.match(place.text, place.offset) if value and place.kind in ("COLON", "EQUALS") else None
    if begun is not None:
        sign = "a colon" if place.kind == "COLON" else "`=`"
        between = Span(place.source, place.partial[0].end_pos or 0, begun.end() - 1)
        return Diagnostic(
            "syntax",
            f"`{place.first_word}` stands without {sign}",
            place.span(),
            hint=f"delete {'the colon' if place.kind == 'COLON' else 'the  ='}",
            fix=Fix(between, " ", sure=True),
        )
    if place.kind == "COLON" and place.first_word in SECTION_WORDS:
        return Diagnostic(
            "reserved",
            f"`{place.first_word}` is a reserved word and cannot be a label",
            Span(place.source, place.partial[0].start_pos, place.partial[0].end_pos),
            hint=f"choose another name, such as {place.first_word}_",
        )
    if place.kind == "EQUALS" and place.first_word == "expect":
        return Diagnostic(
            "syntax",
            "an expectation compares with `==`",
            place.span(),
            "expected one of == != <= >= < >, found =",
            hint="write ==",
            fix=Fix(place.span(), "==", sure=True),
        )
    if place.kind == "BAR":
        return Diagnostic(
            "syntax",
            "rows and plain statements cannot be mixed",
            place.span(),
            "a row starts here, but what stands before is no row",
            hint="start each branch with |, the first one too:  concat { | conv 8 1x1 | identity }",
        )
    if place.kind == "LBRACE" and place.at_start:
        return Diagnostic(
            "syntax",
            "a `{` stands alone",
            place.span(),
            "expected a statement before it",
            hint="put { on the line of what it belongs to, as in  residual {",
        )
    return None


def _generic(place: Place) -> Diagnostic:
    last = place.last
    if last is not None and last.type == "ARROW":
        return _diagnose(place, "an arrow leads to nothing", "a layer after ->")
    if last is not None and last.type == "COLON" and place.kind in ("NUMBER", "SIZE"):
        colon = Span(place.source, last.start_pos or 0, last.end_pos or 0)
        hint = "delete the colon: a layer is its name and its arguments"
        return replace(
            _diagnose(place, "a label names nothing", "a layer after the label", hint), fix=Fix(colon, "", sure=True)
        )
    if last is not None and last.type == "COLON":
        return _diagnose(place, "a label names nothing", "a layer after the label")
    if last is not None and last.type in ("PLUS", "MINUS", "TIMES", "DIVIDE", "FLOOR"):
        more = "; a call needs parentheses around it" if "FUNCTION" not in place.accepts else ""
        return _diagnose(place, f"`{last}` has nothing on its right", f"a number or a name{more}")
    if place.at_start and place.text.startswith(("//", "/*"), place.offset):
        whole = place.text.startswith("//", place.offset)
        return Diagnostic(
            "syntax",
            "a comment begins with #",
            place.span(2),
            hint="write #, on each line of it",
            fix=Fix(place.span(2), "#", sure=True) if whole else None,
        )
    if place.at_start:
        return _diagnose(
            place,
            "a statement starts with a word",
            "a layer, a label, or one of " + ", ".join(SECTION_WORDS[:-1]),
        )
    if place.kind == "MINUS" and "LPAR" in place.accepts:
        value = re.compile(r"-\s*([\w.]+%?)").match(place.text, place.offset)
        written = f"write (-{value.group(1)})" if value else "write (-1)"
        return _diagnose(place, "a bare argument has no leading minus", "a number, a size, a name or ( )", written)
    opening = place.open_bracket("LPAR", "LSQB", "LBRACE")
    related: tuple[tuple[Span, str], ...] = ()
    if opening is not None and opening.type != "LBRACE" and {"RPAR", "RSQB"} & place.accepts:
        at = opening.start_pos or 0
        related = ((Span(place.source, at, at + 1), "opened here"),)
    hint = "a path stands in double quotes" if place.first_word == "source" else ""
    if place.first_word in ("data", "train") and len(place.partial) == 1:
        hint = "write  data { source digits }" if place.first_word == "data" else "write  train { epochs 10 }"
    return _diagnose(place, "this cannot be read", _wanted(place.accepts), hint, related)


def _diagnose(
    place: Place, message: str, expected: str, hint: str = "", related: tuple[tuple[Span, str], ...] = ()
) -> Diagnostic:
    length, found = _found(place)
    return Diagnostic(
        "syntax",
        message,
        place.span(length),
        f"expected {expected}, found {found}",
        hint=hint,
        related=related,
    )


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
    words += [HUMAN[t] for t in HUMAN if t in accepts and not (t == "SIZE" and accepts >= VALUES)]
    if "ARROW" in accepts:
        words.append("`->`")
    if "RBRACE" in accepts:
        words.append("`}`")
    if accepts & {"_NL", "$END"}:
        words.append("the end of the line")
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "something else"
