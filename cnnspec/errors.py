"""Everything that can go wrong, as types: the library raises, the command line prints.

CnnSpecError
├── SpecError        the text is wrong: holds diagnostics, each with its place in the spec
├── DataError        files or arrays do not fit: names the file, the field, expected and found
├── MachineError     the machine stands in the way: full disk, read-only folder, missing library
└── InternalError    a mistake of ours: a verifier failed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .source import Span, Trail
from .text import columns as columns_of
from .text import fold, visible

COLUMNS = 80  # of plain output
CODE = 100  # the most that is shown of a line of the spec, and where its place stands at most
CUT = "..."


@dataclass(frozen=True)
class Fix:
    """One edit that mends a diagnostic: replace the text of ``span`` by ``replacement``.

    ``sure`` says that nothing else can have been meant; ``check --fix`` makes such edits only, and shows a guess as
    a hint.
    """

    span: Span
    replacement: str
    sure: bool = False


@dataclass(frozen=True)
class Diagnostic:
    """One finding: a message at a span, with what helps to understand and mend it.

    Attributes
    ----------
    code : the error's name in the catalogue, e.g. ``"shape"`` (docs/errors.md).
    message : one line, lower case, without a full stop.
    span : the place of the caret.
    label : what stands beside the caret.
    notes : further lines, such as the arithmetic behind a shape.
    related : other places that matter, each with a text.
    trail : the blocks and repeats through which the place was reached, outermost first.
    hint : the mend in words; printed after ``fix:``.
    fix : the same mend as an edit, where one edit suffices.
    severity : ``error``, or ``warning`` for a net that is whole but hardly meant.

    Words of the author's that are absurdly long are shortened in all texts.
    """

    code: str
    message: str
    span: Span
    label: str = ""
    notes: tuple[str, ...] = ()
    related: tuple[tuple[Span, str], ...] = ()
    trail: Trail = ()
    hint: str = ""
    fix: Fix | None = None
    severity: str = "error"

    def __post_init__(self) -> None:
        for name in ("message", "label", "hint"):
            object.__setattr__(self, name, brief(getattr(self, name)))
        object.__setattr__(self, "notes", tuple(brief(note) for note in self.notes))
        object.__setattr__(self, "related", tuple((span, brief(text)) for span, text in self.related))

    @property
    def remark(self) -> str:
        """The finding in one line: its message, its line in the spec, and the mend."""
        mend = self.hint or next(iter(self.notes), "")
        return f"{self.message} (line {self.span.line})" + (f"; {mend}" if mend else "")

    def as_dict(self) -> dict[str, object]:
        """Return the diagnostic as JSON-ready values (lines and columns count from 1)."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": self.span.source.name,
            "line": self.span.line,
            "column": self.span.column,
            "label": self.label,
            "notes": list(self.notes),
            "trail": [f"{f.kind} {f.name}, {self._line_of(f.span)}" for f in self.trail],
            "hint": self.hint,
        }

    def _line_of(self, span: Span) -> str:
        """Return the line of a place; with its file where that is not the file of the finding."""
        return f"line {span.line}" if span.source.name == self.span.source.name else f"{span.source.name}:{span.line}"

    def render(self, columns: int | None = None) -> str:
        """Return the diagnostic as plain text with source lines and carets; folded where ``columns`` are given."""
        return "\n".join(_render(self, columns))


class CnnSpecError(Exception):
    """Base of all errors that cnnspec raises on purpose."""

    exit_code = 1


class SpecError(CnnSpecError):
    """The spec's text is wrong. ``diagnostics`` holds every finding, in the order of the text."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))


class DataError(CnnSpecError):
    """Data, weights or images do not fit: a file and a field, what was expected, what was found."""

    def __init__(
        self,
        message: str,
        *,
        path: object = None,
        field: str = "",
        expected: str = "",
        found: str = "",
        hint: str = "",
    ) -> None:
        self.message, self.path, self.field = brief(message), path, field
        self.expected, self.found, self.hint = brief(expected), brief(found), brief(hint)
        where = f"{path}: " if path is not None else ""
        if len(where) > LONGEST_LINE:
            where = brief(where)
        lines = [f"{where}{f'{field}: ' if field else ''}{self.message}"]
        further = ("  expected: ", self.expected), ("  found:    ", self.found), ("  fix: ", self.hint)
        lines += [title + text for title, text in further if text]
        super().__init__("\n".join(map(visible, lines)))


class MachineError(DataError):
    """The machine stands in the way: a full disk, a read-only folder, a missing system library."""


class DataWarning(UserWarning):
    """A remark for Python on data that can be used: ``warnings.warn`` carries it."""


class InternalError(CnnSpecError):
    """A mistake of ours: a verifier found an invalid graph or plan. Please report it."""

    exit_code = 3


class ShapeRuleError(Exception):
    """Raised by an op's shape rule; the checker turns it into a diagnostic at the layer's span.

    ``message`` is one line; ``notes`` show the arithmetic; ``hint`` the mend; ``field`` names the op's
    field at fault, so that the caret can point at its argument; ``code`` the kind of the error.
    """

    def __init__(self, message: str, *notes: str, hint: str = "", field: str = "", code: str = "shape") -> None:
        super().__init__(message)
        self.message, self.notes, self.hint, self.field, self.code = message, notes, hint, field, code


LONGEST_LINE = 2000
LONGEST_WORD = 300  # characters of one word in a message: paths need more than names
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def brief(text: str) -> str:
    """Return a message in which words beyond 300 characters, and lines beyond 2,000, are cut in their middle."""
    if len(text) <= LONGEST_WORD:
        return text
    text = _LONG_WORD.sub(lambda match: f"{match[0][:40]}...{match[0][-20:]} ({len(match[0]):,} characters)", text)
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 300]} ... {text[-200:]}"


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate nearest to a mistyped word, or None when none is near; never the word itself."""
    import difflib

    if len(word) > 60:
        return None
    known = [candidate for candidate in list(candidates)[:500] if candidate != word]
    for candidate in known:  # swapped letters: `rl` for `lr`
        if len(word) < 5 and sorted(candidate.lower()) == sorted(word.lower()):
            return candidate
    lowered = {c.lower(): c for c in reversed(known)}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.65)
    return lowered[close[0]] if close else None


def _render(d: Diagnostic, columns: int | None) -> Iterable[str]:
    title, where = visible(f"{d.severity}[{d.code}]: {d.message}"), visible(str(d.span))
    gap = min(columns or COLUMNS, CODE) - columns_of(title) - columns_of(where)
    for head in [title + " " * gap + where] if gap >= 2 else [title, f"  at {where}"]:
        yield from fold(head, columns, 2)
    shown = [(d.span, d.label)]
    for span, text in d.related:
        elsewhere = "" if span.source.name == d.span.source.name else f" ({span})"
        shown.append((span, f"{text}{elsewhere}"))
    width = max(len(str(s.line)) for s, _ in shown)
    gutter = " " * (width + 3) + " | "
    longest = CODE if columns is None else max(20, min(CODE, columns - len(gutter) - len(CUT)))
    for span, text in shown:
        code = span.source.line(span.line)
        start = span.column - 1
        indent = start - longest * 2 // 5 if start > longest * 3 // 5 else 0  # of what is shown of a long line
        prefix = CUT if indent else ""
        shown_code = "".join(c if visible(c) == c else " " for c in code[indent : indent + longest])
        length = max(1, min(span.end - span.start, len(code) - start, longest - (start - indent)))
        before, marked = shown_code[: start - indent], shown_code[start - indent :][:length]
        yield f"   {span.line:>{width}} | {prefix}{shown_code}".rstrip()
        caret = gutter + " " * columns_of(prefix + before) + "^" * max(1, columns_of(marked))
        beside = f"{caret} {visible(text)}".rstrip()
        if columns is None or columns_of(beside) <= columns:
            yield beside
        else:
            yield caret
            yield from _beside(gutter, text, columns)
    for note in d.notes:
        yield from _beside(gutter, note, columns)
    for frame in reversed(d.trail):
        call = frame.span.source.line(frame.span.line).strip()
        verb = "called at" if frame.kind == "block" else "at"
        way = f"  in {frame.kind} {frame.name}, {verb} {d._line_of(frame.span)}: {visible(call[:70])}"
        yield from fold(way, columns, 5)
    if d.hint:
        yield from fold(f"  fix: {visible(d.hint)}", columns, 7)


def _beside(gutter: str, text: str, columns: int | None) -> Iterable[str]:
    """Yield a text that is folded at the right of the gutter."""
    first, *more = fold(gutter + visible(text), columns, len(gutter))
    yield first
    yield from (gutter + line.lstrip() for line in more)
