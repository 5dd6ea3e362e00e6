"""``sweep { ... }``: values to try for parameters and settings. Read and judged here; nothing runs them yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ..errors import Diagnostic, SpecError
from ..source import Span
from ..syntax import ast
from ..text import count, some
from .findings import Report, twice
from .overrides import full_name, nearest, settings_named
from .sections import Override
from .settings import SECTIONS

MAX_RUNS = 10_000
MAX_TRIALS = 50  # values of parameters for which the net is judged

Try = Callable[[str, str], object]  # judges the spec with one parameter changed; SpecError where it has a mistake


@dataclass(frozen=True)
class Sweep:
    """What a sweep varies: the full name of each parameter or setting, and its values as texts."""

    values: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def runs(self) -> int:
        """How many runs all combinations are."""
        return math.prod(len(values) for _, values in self.values)

    def to_json(self) -> dict[str, object]:
        return {"runs": self.runs, "values": {name: list(values) for name, values in self.values}}

    def __str__(self) -> str:
        varied = " x ".join(f"{name} [{', '.join(values)}]" for name, values in self.values)
        return f"{some(self.runs, 'run')}: {varied}"


@dataclass
class SweepReader:
    """Reads the section. ``change`` judges one changed setting, ``try_net`` the net with one changed parameter."""

    parameters: Collection[str]
    report: Report
    change: Callable[[Override], None]
    try_net: Try
    waiting: list[tuple[str, str, ast.Expr]] = field(default_factory=list)  # values of parameters, not yet tried

    def read(self, section: ast.Section | None) -> Sweep | None:
        """Return the sweep of a section, or None where there is none or nothing of it can be read."""
        if section is None:
            return None
        if isinstance(section.body, ast.Table) or not section.body.statements:
            message, hint = "a sweep lists names and their values", "write  sweep { train.optimizer.lr [0.1, 0.01] }"
            self.report(Diagnostic("structure", message, section.body.brace, hint=hint))
            return None
        found: dict[str, tuple[str, ...]] = {}
        seen: dict[str, Span] = {}
        for statement in section.body.statements:
            step = self._step(statement)
            name = self._name(step) if step is not None else None
            if step is None or name is None:
                continue
            if name in seen:
                self.report(twice(f"`{name}` is swept twice", step.name_span, seen[name], hint="put all in one list"))
                continue
            seen[name] = step.name_span
            items = self._items(step)
            found[name] = tuple(" ".join(item.span.text.split()) for item in items)
            for item, text in zip(items, found[name], strict=True):
                if name not in self.parameters:
                    self.change(_override(name, step, item))
                else:
                    self.waiting.append((name, text, item))
        sweep = Sweep(tuple(found.items()))
        if sweep.runs > MAX_RUNS:
            message, label = "a sweep of so many runs is hardly meant", f"expected at most {MAX_RUNS:,} runs"
            self.report(Diagnostic("range", message, section.word_span, f"{label}, found {count(sweep.runs)}"))
        return sweep if found else None

    def _step(self, statement: ast.Statement) -> ast.Step | None:
        """Return the one step of a statement, a name and a list, or None after reporting."""
        if isinstance(statement, ast.Broken):
            return None
        step = statement.steps[0] if isinstance(statement, ast.Flow) else None
        name = getattr(step, "name", None) or getattr(statement, "name", "name")
        form = f"write  {name} [0.1, 0.01]"
        alone = isinstance(statement, ast.Flow) and len(statement.steps) == 1 and not statement.label
        if step is None or not alone or step.body is not None or len(step.arguments) != 1:
            message = "a sweep holds names, each with the list of its values"
            self.report(Diagnostic("structure", message, statement.span, hint=form))
            return None
        value = step.arguments[0].value
        if step.arguments[0].key or not isinstance(value, ast.ListOf) or not value.items:
            message, hint = f"the values of `{name}` are a list", f"write  {name} [{value.span.text}, ...]"
            label = "expected values in [ ]"
            self.report(Diagnostic("structure", message, step.arguments[0].span, label, hint=hint))
            return None
        return step

    def _name(self, step: ast.Step) -> str | None:
        """Return the full name of what is swept, or None after reporting that there is none."""
        if step.name in self.parameters:
            return step.name
        name = full_name(step.name)
        section, *rest = name.split(".")
        if section in SECTIONS and 1 <= len(rest) <= 2 and rest[0] in SECTIONS[section]:
            return name
        several, near = settings_named(step.name), nearest(step.name, self.parameters)
        hint = f"did you mean `{near}`?" if near else f"parameters of this spec: {', '.join(self.parameters) or 'none'}"
        if len(several) > 1:
            hint = f"say which: {', '.join(several)}"
        label = "neither a `param` of the spec nor a setting"
        message = f"there is no parameter or setting `{step.name}`"
        self.report(Diagnostic("unknown-name", message, step.name_span, label, hint=hint))
        return None

    def _items(self, step: ast.Step) -> Sequence[ast.Expr]:
        """Return the values of a list, those that are said twice reported."""
        value = step.arguments[0].value
        assert isinstance(value, ast.ListOf)
        seen: dict[ast.Expr, Span] = {}
        for item in value.items:
            if item in seen:
                self.report(twice(f"`{item.span.text[:40]}` is tried twice", item.span, seen[item]))
            seen.setdefault(item, item.span)
        return value.items

    def try_parameters(self) -> None:
        """Judge the net, which is whole as it is written, with each value of a parameter."""
        for name, text, item in self.waiting[:MAX_TRIALS]:
            try:
                self.try_net(name, text)
            except SpecError as error:
                first = error.diagnostics[0]
                message, label = f"with {name}={text} the spec has a mistake: {first.message}", first.label
                related = ((first.span, label or "here"),) if not first.span.source.name.startswith("--set") else ()
                self.report(Diagnostic(first.code, message, item.span, related=related, hint=first.hint))


def _override(name: str, step: ast.Step, item: ast.Expr) -> Override:
    """Return the change that ``--set NAME=VALUE`` would be, at the place of the value."""
    section, statement, *key = name.split(".")
    argument = ast.Argument(item.span, key[0] if key else "", item, step.name_span if key else None)
    return Override(
        section, statement, key[0] if key else "", (ast.Step(item.span, statement, item.span, (argument,)),)
    )
