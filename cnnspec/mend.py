"""The edits that mend a spec: ``check --fix``. Only sure ones are made, and none may add a mistake."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from .compiler import Compiler
from .errors import Diagnostic, SpecError
from .source import Source, Span, Trail
from .syntax.guards import MAX_BYTES

MAX_ROUNDS = 60  # each mends what the one before uncovered
MAX_TRIALS = 30  # edits that are tried one by one, where all together do not mend
MAX_READ = 3_000_000  # characters that are read anew for all rounds, and for all trials

Settings = Mapping[str, str] | None
Edit = tuple[int, int, str]  # start, end, replacement
Place = tuple[Span, Trail]


class Mended(NamedTuple):
    """A text, how many edits were made, and the diagnostics that are left of it."""

    source: Source
    edits: int
    remaining: tuple[Diagnostic, ...]


def mend(source: Source, settings: Settings = None) -> Mended:
    """Make the sure edits that the diagnostics of a spec offer.

    A text is taken only if each of its mistakes stood in the text before, and fewer are left. One edit may uncover
    the next (a layer's name first, then its keys), which is followed to its end. The result, mended again, stays.

    Parameters
    ----------
    settings : what ``--set`` changes, as :class:`Compiler` takes it.
    """
    found, edits = findings(source, settings), 0
    while any(_is_sure(d, source) for d in found):
        step = _follow(source, found, settings)
        if not _is_better(step.remaining, found):
            step = _first_that_mends(source, found, settings)
        if not step.edits:
            break
        source, found, edits = step.source, step.remaining, edits + step.edits
    return Mended(source, edits, found)


def uncovered(source: Source, found: Sequence[Diagnostic], settings: Settings = None) -> tuple[Diagnostic, ...]:
    """Return the mistakes that the sure edits of a mended text would bring to light, for which they are not made."""
    known = {_key(d) for d in found}
    remaining = _follow(source, tuple(found), settings).remaining
    return tuple(d for d in remaining if _key(d) not in known and d.severity == "error")


def findings(source: Source, settings: Settings = None) -> tuple[Diagnostic, ...]:
    """Return the diagnostics of a spec: its errors, or the warnings of a net that is whole."""
    try:
        return Compiler(source, settings).findings
    except SpecError as error:  # a text that cannot be looked at
        return error.diagnostics


def suppose(source: Source, found: Sequence[Diagnostic], settings: Settings = None) -> tuple[Source, list[Place]]:
    """Return the text with the edits that its diagnostics offer, guesses too, and where in it mistakes are or were.

    The text is as it was where the edits would make it unreadable.
    """
    edits = _edits(source, found, guesses=True)
    text = _edited(source.text, edits)
    after = findings(Source(source.name, text), settings) if edits and len(text) <= MAX_BYTES else ()
    if (
        not edits
        or len(text) > MAX_BYTES
        or sum(d.code == "syntax" for d in after) > sum(d.code == "syntax" for d in found)
    ):
        edits, text, after = [], source.text, ()
    mended = Source(source.name, text)
    wrong = [d for d in found if d.severity == "error" and d.span.source == source]
    moved = [Span(mended, _moved(d.span.start, edits), _moved(d.span.end, edits)) for d in wrong]
    places = [(span, d.trail) for span, d in zip(moved, wrong, strict=True)]
    return mended, [*places, *((d.span, d.trail) for d in after if d.severity == "error")]


def _moved(position: int, edits: Sequence[Edit]) -> int:
    """Return where a place of a text stands after edits."""
    moved = position
    for start, end, replacement in edits:
        if end <= position:
            moved += len(replacement) - (end - start)
        elif start < position:
            moved += start + len(replacement) - position
    return moved


def encode(text: str, like: bytes) -> bytes:
    """Return a text decoded from ``like``, and perhaps edited since, with its byte order mark and line ends."""
    ends = ["\r" if end == b"\r" else "\n" for end in re.findall(rb"\r\n|\r|\n", like)]
    lines = text.split("\n")
    if "\r" in ends:
        if len(lines) != len(ends) + 1:  # an edit made or took lines
            ends = [ends[0]] * (len(lines) - 1)
        text = "".join(part for pair in zip(lines, [*ends, ""], strict=True) for part in pair)
    return (codecs.BOM_UTF8 if like.startswith(codecs.BOM_UTF8) else b"") + text.encode("utf-8")


def apply_fixes(source: Source, diagnostics: Iterable[Diagnostic]) -> tuple[str, int]:
    """Return the text with the sure edits of the diagnostics applied, and how many were.

    Edits that overlap one before them are left for another round.
    """
    edits = _edits(source, diagnostics)
    return _edited(source.text, edits), len(edits)


def _edits(source: Source, diagnostics: Iterable[Diagnostic], *, guesses: bool = False) -> list[Edit]:
    """Return the edits of diagnostics in the order of the text, sure ones or all; of those that overlap the first."""
    wanted = {(d.fix.span.start, d.fix.span.end, d.fix.replacement) for d in diagnostics
              if d.fix is not None and d.fix.span.source == source and (guesses or d.fix.sure)}  # fmt: skip
    edits: list[Edit] = []
    for edit in sorted(wanted):
        if not edits or (edit[0] >= edits[-1][1] and edit[0] != edits[-1][0]):
            edits.append(edit)
    return edits


def _edited(text: str, edits: Sequence[Edit]) -> str:
    parts, position = [], 0
    for start, end, replacement in edits:
        parts += [text[position:start], replacement]
        position = end
    return "".join([*parts, text[position:]])


def _follow(
    source: Source, found: tuple[Diagnostic, ...], settings: Settings, known: frozenset[Key] = frozenset()
) -> Mended:
    """Make all sure edits and those that they uncover, except for diagnostics that are ``known``."""
    edits = 0
    for _ in range(_affordable(MAX_ROUNDS, source)):
        text, n = apply_fixes(source, [d for d in found if _key(d) not in known])
        if n == 0 or len(text) > MAX_BYTES:
            break
        source, edits = replace(source, text=text), edits + n
        found = findings(source, settings)
    return Mended(source, edits, found)


def _affordable(times: int, source: Source) -> int:
    """Return how many times a text is read at most; a large one takes seconds each time."""
    return max(1, min(times, MAX_READ // (len(source.text) + 1)))


def _first_that_mends(source: Source, found: tuple[Diagnostic, ...], settings: Settings) -> Mended:
    """Make the first sure edit that, with what it uncovers, leaves fewer mistakes and no other."""
    known = frozenset(map(_key, found))
    for d in [d for d in found if _is_sure(d, source)][: _affordable(MAX_TRIALS, source)]:
        text, edits = apply_fixes(source, [d])
        after = replace(source, text=text)
        step = _follow(after, findings(after, settings), settings, known)
        if _is_better(step.remaining, found):
            return step._replace(edits=step.edits + edits)
    return Mended(source, 0, found)


Key = tuple[str, str]


def _key(d: Diagnostic) -> Key:
    """Return the code and the message, which two diagnostics of one mistake share; the place moves with the text."""
    return d.code, d.message


def _is_better(after: Sequence[Diagnostic], before: Sequence[Diagnostic]) -> bool:
    """Return whether all mistakes stood there before and some are gone; warnings count where no mistake does."""
    left, stood = ([Counter(_key(d) for d in found if d.severity == kind) for kind in ("error", "warning")]
                   for found in (after, before))  # fmt: skip
    return left[0] < stood[0] or (left[0] == stood[0] and left[1] < stood[1])


def _is_sure(d: Diagnostic, source: Source) -> bool:
    return d.fix is not None and d.fix.sure and d.fix.span.source == source
