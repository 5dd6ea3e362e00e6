"""Reads the statements of a section: each is typed by the registry of settings, as layers are by ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Diagnostic, Fix
from ..ir.fields import attrs_of
from ..source import Span
from ..syntax import ast
from ..syntax.words import STRUCTURE
from .arguments import bind
from .belongs import Belongs, Statements, belongs
from .elsewhere import word_elsewhere
from .findings import Report, guessed, hint_of, twice
from .forms import written
from .guess import meant
from .settings import REPEATED, SECTIONS, SETTINGS, Constant, TrainSettings, Warmup
from .values import Scope


@dataclass(frozen=True)
class Override:
    """One ``--set train.optimizer.lr=0.1``: a whole statement (``key`` empty) or one argument of it."""

    section: str
    statement: str
    key: str
    step: tuple[ast.Step, ...]  # the statement as it would stand in the section


@dataclass(frozen=True)
class Statement:
    """A typed statement and where it stands."""

    value: Any
    span: Span


@dataclass
class SectionReader:
    """Reads one section; what fits is in ``found``, by statement."""

    word: str
    scope: Scope
    report: Report
    said: Statements = field(default_factory=dict)  # of the whole spec, for hints
    found: dict[str, Statement] = field(default_factory=dict)
    repeated: list[Statement] = field(default_factory=list)  # those that may stand more than once, in order
    warmup: int = 0
    lost: bool = False

    def read(self, section: ast.Section | None, overrides: Sequence[Override]) -> None:
        """Type every statement of the section, ``--set`` applied."""
        flows: dict[str, tuple[ast.Step, ...]] = {}
        repeated: list[tuple[ast.Step, ...]] = []
        for steps in self._statements(section):
            name = steps[0].name
            if name in REPEATED:
                repeated.append(steps)
                continue
            if name in flows:
                again, first = steps[0].name_span, flows[name][0].name_span
                self._report(twice(f"`{name}` is said twice", again, first, "said", "delete one of the two"))
                continue
            flows[name] = steps
        for change in overrides:
            if change.statement in REPEATED:
                repeated = self._changed_all(repeated, change)
            else:
                flows[change.statement] = self._changed(flows.get(change.statement), change)
        for name, steps in flows.items():
            self._statement(name, steps)
        for steps in repeated:
            part = self._part(steps[0].name, steps[0], first=True)
            if part is not None:
                self.repeated.append(Statement(part, steps[0].span))

    def _report(self, diagnostic: Diagnostic) -> None:
        self.lost = True
        self.report(diagnostic)

    def _statements(self, section: ast.Section | None) -> list[tuple[ast.Step, ...]]:
        """Return the statements that belong here, as steps."""
        if section is None:
            return []
        if isinstance(section.body, ast.Table):
            self._report(Diagnostic("structure", f"the {self.word} section has no rows", section.body.brace))
            return []
        good = []
        for statement in section.body.statements:
            if isinstance(statement, ast.Broken):
                self.lost = True
            elif not isinstance(statement, ast.Flow):
                self._report(self._no_flow(statement))
            elif statement.label_span is not None:
                self._report(self._labelled(statement, statement.label_span))
            elif self._belongs(statement.steps):
                good.append(statement.steps)
        return good

    def _labelled(self, flow: ast.Flow, label: Span) -> Diagnostic:
        """Return the diagnostic for ``source: digits``, as other formats write it."""
        message, start = "settings have no label", flow.steps[0].span.start
        if flow.label not in SECTIONS[self.word]:
            return Diagnostic("structure", message, label, hint="delete the label")
        fix = Fix(Span(label.source, label.start, start), f"{flow.label} ", sure=True)
        written = " ".join(f"{flow.label} {flow.steps[0].head.text}".split())
        return Diagnostic("structure", message, label, hint=f"write  {written}", fix=fix)

    def _no_flow(self, statement: ast.Statement) -> Diagnostic:
        """Return the diagnostic for what is no statement of a section: ``param``, or ``epochs = 4``."""
        if not isinstance(statement, ast.Setting):
            word = statement.span.text.split()[0]
            message = f"`{word}` does not belong in the {self.word} section"
            return Diagnostic("structure", message, statement.span, hint="move it out of the braces")
        name, value = statement.name, " ".join(statement.value.span.text.split())
        other = belongs(name, value, self.said)
        if other is not None and name not in SECTIONS[self.word]:
            return self._elsewhere(name, statement.name_span, statement.span, other)
        ours = word_elsewhere(name) or name
        fix = Fix(statement.span, f"{ours} {value}", sure=ours in SECTIONS[self.word])
        message = f"`{name}` is set without `=`"
        return Diagnostic("structure", message, statement.span, hint=f"write  {fix.replacement}", fix=fix)

    def _elsewhere(self, name: str, span: Span, statement: Span, other: Belongs) -> Diagnostic:
        """Return the diagnostic for a word that belongs to another statement."""
        message = f"the {self.word} section has no `{name}`"
        alone = not other.line and other.section == self.word
        fix = Fix(statement, other.text, sure="..." not in other.text) if alone else None
        return Diagnostic("unknown-setting", message, span, other.about, hint=other.hint(self.word), fix=fix)

    def _belongs(self, steps: tuple[ast.Step, ...]) -> bool:
        name, known = steps[0].name, SECTIONS[self.word]
        if name in STRUCTURE:
            message, hint = f"a section has no `{name}`", "give a value a name, param NAME = VALUE, which --set changes"
            self._report(Diagnostic("structure", message, steps[0].name_span, hint=hint))
            return False
        if name not in known:
            self._report(self._unknown(steps))
            return False
        for step in steps:
            if step.body is not None:
                self._report(Diagnostic("structure", f"{step.name} takes no {{ }}", step.body.brace))
                return False
        if len(steps) > 1 and name != "schedule":
            self._report(Diagnostic("structure", f"{name} is one thing, not a chain", steps[1].name_span))
            return False
        return True

    def _unknown(self, steps: tuple[ast.Step, ...]) -> Diagnostic:
        name, span, known = steps[0].name, steps[0].name_span, SECTIONS[self.word]
        whole = span.to(steps[-1].head)
        other = next((s for s, words in SECTIONS.items() if name in words), None)
        place = None
        if other is None and all(step.body is None for step in steps):
            value = " ".join(whole.text[len(name) :].split())
            place = belongs(name, value, self.said)
        if place is not None:
            return self._elsewhere(name, span, whole, place)
        fix = meant(name, known, span) if other is None else None
        hint = f"write it inside  {other} {{ ... }}" if other else hint_of(fix, f"known here: {', '.join(known)}")
        message = f"the {self.word} section has no `{name}`"
        return Diagnostic("unknown-setting", message, span, f"expected one of {', '.join(known)}", hint=hint, fix=fix)

    # ---- one statement --------------------------------------------------------------------------
    def _statement(self, name: str, steps: tuple[ast.Step, ...]) -> None:
        parts = [self._part(name, step, first=i == 0) for i, step in enumerate(steps)]
        if any(part is None for part in parts):
            return
        span = steps[0].span.to(steps[-1].span) if steps[0].span.source is steps[-1].span.source else steps[0].span
        values = [part for part in parts if part is not None]
        if name == "schedule":
            self._schedule(values, steps, span)
        else:
            self.found[name] = Statement(values[0], span)

    def _schedule(self, values: list[Any], steps: tuple[ast.Step, ...], span: Span) -> None:
        if isinstance(values[0], Warmup):
            self.warmup = values[0].epochs
            values, steps = values[1:], steps[1:]
        if len(values) > 1 or any(isinstance(v, Warmup) for v in values):
            message = "a schedule is a warmup, then one other"
            self._report(Diagnostic("structure", message, steps[-1].head, hint="write  schedule warmup 5 -> cosine"))
            return
        self.found["schedule"] = Statement(values[0] if values else Constant(), span)

    def _part(self, name: str, step: ast.Step, *, first: bool) -> Any:
        """Return the typed value of one step of a statement, or None after reporting."""
        word, arguments = "", step.arguments
        if "" not in SETTINGS[name]:
            chosen = self._word(name, step) if first else self._known_word(name, step.name, step.name_span)
            if chosen is None:
                return None
            word = chosen
            if first and not _is_written_by_key(name, step):
                arguments = arguments[1:]
        cls = SETTINGS[name][word]
        bound = bind(f"{name} {word}".rstrip(), cls, arguments, step.head, self.scope, self._report)
        if bound is None or not bound.known:
            self.lost = True
            return None
        return cls(**bound.values)

    def _word(self, name: str, step: ast.Step) -> str | None:
        """Return the word that a statement chooses, or None after reporting."""
        if _is_written_by_key(name, step):
            return step.arguments[0].key
        first = step.arguments[0] if step.arguments else None
        if first is not None and not first.key and isinstance(first.value, ast.Name):
            return self._known_word(name, first.value.name, first.span)
        text = first.span.text if first is not None else ""
        word, slash, rest = text.partition("/")
        hint, fix = f"write  {name} {next(iter(SETTINGS[name]))}", None
        if first is not None and slash and word.strip() in SETTINGS[name]:  # source folders /data/flowers
            fix = Fix(first.span, f'{word.strip()} "/{rest}"', sure=True)
            hint = f"write  {name} {fix.replacement}"
        elif first is not None and first.key:  # `optimizer lr=0.1`
            place = belongs(first.key, "...", {})
            if place is not None and place.statement == name:
                hint = f"write  {' '.join([name, place.text.split()[1], *(a.span.text for a in step.arguments)])}"
        found = f"`{text[:40]}`" if text else "nothing"
        label = f"expected {', '.join(SETTINGS[name])} after {name}, found {found}"
        message = f"{name} needs to know which"
        self._report(Diagnostic("missing-argument", message, step.head, label, hint=hint, fix=fix))
        return None

    def _known_word(self, name: str, word: str, span: Span) -> str | None:
        if word in SETTINGS[name]:
            return word
        message, label = f"{name} cannot be `{word}`", f"expected one of {', '.join(SETTINGS[name])}"
        self._report(guessed("unknown-value", message, span, label, meant(word, SETTINGS[name], span)))
        return None

    # ---- --set ----------------------------------------------------------------------------------
    def _changed(self, steps: tuple[ast.Step, ...] | None, change: Override) -> tuple[ast.Step, ...]:
        """Return a statement with one ``--set`` applied."""
        if not change.key:
            return change.step
        argument = change.step[0].arguments[0]
        if steps is None:
            steps = (self._default_step(change),)
        last = steps[-1]
        classes = SETTINGS[change.statement]
        bare = len(steps) == 1 and "" not in classes and not _is_written_by_key(change.statement, last)
        head, rest = (last.arguments[:1], last.arguments[1:]) if bare else ((), last.arguments)
        value = head[0].value if head else None
        word = value.name if isinstance(value, ast.Name) else last.name if len(steps) > 1 else ""
        cls = classes.get("" if "" in classes else word) if word or "" in classes else None
        if cls is None and _is_written_by_key(change.statement, last):
            cls = classes[last.arguments[0].key]
        rest = _with(cls, rest, argument) if cls is not None else (*rest, argument)
        return (*steps[:-1], replace(last, arguments=(*head, *rest)))

    def _changed_all(self, lines: list[tuple[ast.Step, ...]], change: Override) -> list[tuple[ast.Step, ...]]:
        """Return statements that may stand more than once, with one ``--set`` applied to all of its name."""
        at = [i for i, steps in enumerate(lines) if steps[0].name == change.statement]
        if change.key and at:
            return [self._changed(steps, change) if i in at else steps for i, steps in enumerate(lines)]
        others = [steps for i, steps in enumerate(lines) if i not in at[1:]]
        return [*others[: at[0]], change.step, *others[at[0] + 1 :]] if at else [*lines, self._changed(None, change)]

    def _default_step(self, change: Override) -> ast.Step:
        """Return the statement that holds where the section does not say one: ``optimizer sgd``, ..."""
        step = change.step[0]
        default = getattr(TrainSettings(), change.statement, None)
        word = getattr(default, "word", "")
        if not word:
            return replace(step, arguments=())
        declared = attrs_of(type(default))
        arguments = [ast.Argument(step.name_span, "", ast.Name(step.name_span, word))]
        for f, a in declared.items():
            value = getattr(default, f)
            if value != a.default and isinstance(value, (int, float)) and a.key != change.key:
                arguments.append(ast.Argument(step.name_span, a.key, ast.Number(step.name_span, value)))
        return replace(step, arguments=tuple(arguments))


def _is_written_by_key(statement: str, step: ast.Step) -> bool:
    """Return whether a statement says its word as a key: ``stop patience=15``."""
    return bool(step.arguments) and step.arguments[0].key in SETTINGS[statement]


def _with(cls: type, arguments: tuple[ast.Argument, ...], new: ast.Argument) -> tuple[ast.Argument, ...]:
    """Return the arguments with a new one in place of that of the same key, be it written bare or by key."""
    positional = [a.key for a in written(cls).values() if a.positional]
    named = []
    for argument in arguments:
        key = argument.key or (positional.pop(0) if positional else "")
        named.append(replace(argument, key=key) if key else argument)
    if any(a.key == new.key for a in named):
        return tuple(new if a.key == new.key else a for a in named)
    return (*named, new)
