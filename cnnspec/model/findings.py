"""Findings that many places make: a word that is none of the known ones, and a thing that is said twice."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import Diagnostic, Fix
from ..source import Span

Report = Callable[[Diagnostic], object]  # is handed each finding; reading goes on


def hint_of(fix: Fix | None, otherwise: str = "") -> str:
    """Return a guess in words."""
    return f"did you mean `{fix.replacement}`?" if fix is not None else otherwise


def guessed(code: str, message: str, span: Span, label: str, fix: Fix | None, otherwise: str = "") -> Diagnostic:
    """Return a diagnostic whose mend is a guess; where there is none, its hint is ``otherwise``."""
    return Diagnostic(code, message, span, label, hint=hint_of(fix, otherwise), fix=fix)


def twice(message: str, again: Span, first: Span, said: str = "given", hint: str = "") -> Diagnostic:
    """Return the diagnostic for a second place that says what a first one has said."""
    related = ((first, f"first {said} here"),)
    return Diagnostic("duplicate", message, again, f"{said} again here", related=related, hint=hint)
