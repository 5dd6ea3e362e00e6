"""What a mistyped word was meant to be: a sure slip of the hand, or a guess that is only told."""

from __future__ import annotations

from collections.abc import Container, Iterable

from ..errors import Fix, did_you_mean
from ..ops import LAYERS
from ..source import Span
from ..syntax.words import CLAUSES, STRUCTURE
from .elsewhere import word_elsewhere
from .filter_library import FILTERS
from .settings import SECTIONS, SETTINGS


def meant(word: str, candidates: Iterable[str], span: Span) -> Fix | None:
    """Return the edit that puts the nearest candidate in place of a word, or None when none is near.

    It is sure where the word is one slip from that candidate and from no other, and means nothing itself.
    """
    known = list(candidates)
    ours = word_elsewhere(word)
    if ours in known and ours != word and span.text == word:
        return Fix(span, ours, sure=True)
    near = did_you_mean(word, known)
    if near is None:
        return None
    slips = {candidate for candidate in known[:500] if is_slip(word, candidate)}
    return Fix(span, near, sure=slips == {near} and span.text == word and not is_word_of_ours(word))


def is_word_of_ours(word: str) -> bool:
    """Return whether a word is the name of a layer, a setting or one of its choices somewhere in the language."""
    named: tuple[Container[str], ...] = (LAYERS, FILTERS, STRUCTURE, CLAUSES, SECTIONS, SETTINGS, *SETTINGS.values())
    return any(word in words for words in named)


def is_slip(word: str, meant: str) -> bool:
    """Return whether one letter is missing, one too many or another, or two neighbours are swapped; case aside.

    Digits are never slips, since ``enc2`` is another name than ``enc1``, and neither are words below three letters.
    """
    a, b = word.lower(), meant.lower()
    if min(len(a), len(b)) < 3 or abs(len(a) - len(b)) > 1 or word == meant:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    x, y = a[start : len(a) - end], b[start : len(b) - end]
    if any(c.isdigit() for c in x + y):
        return False
    return max(len(x), len(y)) <= 1 or (len(x) == 2 and x == y[::-1])
