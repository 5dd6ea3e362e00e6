"""The lines before the net: ``cnnspec``, ``input``, ``classes`` and ``defaults``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from ..errors import Diagnostic, Fix
from ..ir.fields import Shape, dims
from ..ops import LAYERS
from ..source import Source, Span
from ..syntax import ast
from .arguments import Bound, bind
from .findings import Report, guessed, twice
from .forms import written
from .guess import meant
from .settings import DataSettings
from .values import Dims, Scope, Unknown, attempt, describe, evaluate, number

VERSION = 1

T = TypeVar("T", bound=ast.Node)


@dataclass
class Declarations:
    """Reads the declarations of a spec; what is wrong goes to ``report``."""

    spec: ast.Spec
    scope: Scope
    report: Report

    def of(self, word: str) -> list[ast.Declaration]:
        return [s for s in self.spec.statements if isinstance(s, ast.Declaration) and s.word == word]

    def once(self, statements: Sequence[T], what: str) -> T | None:
        for again in statements[1:]:
            self.report(twice(f"`{what}` is said twice", again.span, statements[0].span, "said"))
        return statements[0] if statements else None

    def version(self) -> None:
        for statement in self.of("cnnspec"):
            values = [a.value for a in statement.arguments]
            if len(values) != 1 or not isinstance(values[0], ast.Number):
                message = "`cnnspec` is followed by the version of the language"
                self.report(Diagnostic("structure", message, statement.span, hint=f"write  cnnspec {VERSION}"))
            elif values[0].value != VERSION:
                message = f"the spec asks for version {values[0].span.text} of the language"
                label = f"this is cnnspec with language version {VERSION}"
                hint = "install a newer cnnspec, or write  cnnspec 1"
                self.report(Diagnostic("structure", message, values[0].span, label, hint=hint))

    def input(self, unread: bool) -> Shape | None:
        statement = self.once(self.of("input"), "input")
        if statement is None:
            if not unread:
                source = self.spec.source
                place = self.spec.statements[0].span if self.spec.statements else Span(source, 0, 0)
                first = Span(source, place.start, min(place.end, _end_of_line(source, place.start)))
                message = "the spec does not say its input"
                hint = "begin with a line such as  input 28x28x1  (height x width x channels)"
                kinds = {type(statement) for statement in self.spec.statements}
                if ast.Block in kinds and not kinds & {ast.Flow, ast.Section, ast.Broken}:
                    hint = f'a file of blocks alone is judged by a spec that says  use "{PurePath(source.name).name}"'
                self.report(Diagnostic("missing-input", message, first, "expected input before the net", hint=hint))
            return None
        form = "write  input 28x28x1  (height x width x channels)"
        values = statement.arguments
        if len(values) != 1 or values[0].key:
            found = " ".join(a.span.text for a in values)
            numbers = [a.value for a in values if isinstance(a.value, ast.Number)]
            fix = None
            if len(numbers) == len(values) == 3:
                together = "x".join(n.span.text for n in numbers)
                form, fix = f"write  input {together}", Fix(values[0].span.to(values[-1].span), together, sure=True)
            label = f"expected one size, found {found or 'nothing'}"
            self.report(Diagnostic("type", "input takes one size", statement.span, label, hint=form, fix=fix))
            return None
        value = attempt(evaluate, values[0].value, self.scope, self.report)
        if isinstance(value, Unknown):
            return None
        span = values[0].span
        if not isinstance(value, Dims) or len(value.dims) != 3:
            hint, fix = form, None
            if isinstance(value, Dims) and len(value.dims) == 2:
                grey = f"{dims(value.dims)}x1"
                hint = f"write  input {grey}  for grey images, input {dims(value.dims)}x3  for colour"
            label = f"expected height x width x channels, found {describe(value)}"
            self.report(Diagnostic("type", "input is height x width x channels", span, label, hint=hint, fix=fix))
            return None
        for size, axis in zip(value.dims, ("height", "width", "channels"), strict=True):
            if not 1 <= size <= 1_000_000:
                label = f"expected between 1 and 1,000,000, found {size}"
                are = "are" if axis == "channels" else "is"
                self.report(Diagnostic("range", f"the {axis} of the input {are} {size}", span, label))
                return None
        height, width, channels = value.dims
        if height in (1, 3) and width == channels > 4:  # as other libraries write it
            message = f"the input is {height} high, {width} wide and {channels} deep: channels come last"
            hint = f"was  input {width}x{channels}x{height}  meant?"
            self.report(Diagnostic("shape", message, span, hint=hint, severity="warning"))
        return value.dims

    def classes(self, data: DataSettings | None) -> tuple[int | None, str]:
        """Return the number of classes, and who says so."""
        statement = self.once(self.of("classes"), "classes")
        source = data.source if data is not None else None
        of_data: int | None = getattr(source, "classes", None)
        if statement is None:
            return of_data, f"source {source.word}" if of_data is not None and source is not None else ""
        values = statement.arguments
        if len(values) != 1 or values[0].key:
            hint = "write  classes 10"
            self.report(Diagnostic("type", "classes takes one number", statement.span, hint=hint))
            return of_data, ""
        n = attempt(number, values[0].value, self.scope, self.report)
        if isinstance(n, Unknown):
            return of_data, ""
        if n != int(n) or not 1 <= n <= 10_000_000:
            label = f"expected a whole number of at least 1, found {describe(n)}"
            self.report(Diagnostic("range", "that is no number of classes", values[0].span, label))
            return of_data, ""
        if of_data is not None and source is not None and of_data != n:
            message = f"{source.word} has {of_data} classes"
            label = f"expected {of_data}, found {int(n)}"
            fix = Fix(values[0].span, str(of_data), sure=True)
            self.report(
                Diagnostic("classes", message, values[0].span, label, hint=f"write  classes {of_data}", fix=fix)
            )
        return int(n), f"line {statement.span.line}"

    def defaults(self) -> dict[tuple[str, str], Bound]:
        """Return the defaults by the names of file and layer: they hold for the layers of their file."""
        found: dict[tuple[str, str], Bound] = {}
        for statement in self.of("defaults"):
            first = statement.arguments[0].value if statement.arguments else None
            if not isinstance(first, ast.Name) or statement.arguments[0].key:
                hint = "write  defaults conv bias=no"
                self.report(Diagnostic("structure", "`defaults` needs a layer and keys", statement.span, hint=hint))
                continue
            name, span = first.name, first.span
            place = statement.span.source.name, name
            if name not in LAYERS:
                fix = meant(name, LAYERS, span)
                otherwise = "run  cnnspec layers  to see all layers"
                self.report(guessed("unknown-layer", f"unknown layer `{name}`", span, "", fix, otherwise))
                continue
            if place in found:
                message = f"the defaults of {name} are said twice"
                self.report(Diagnostic("duplicate", message, statement.span, hint="put all keys on one line"))
                continue
            bare = next((a for a in statement.arguments[1:] if not a.key), None)
            if bare is not None:
                message = f"a default is written with its key; `{bare.span.text[:40]}` has none"
                self.report(Diagnostic("structure", message, bare.span, hint=f"write  defaults {name} key=value"))
                continue
            says = {a.key for a in written(LAYERS[name]).values() if a.says}
            owner = next((a for a in statement.arguments[1:] if a.key in says), None)
            if owner is not None:
                message, hint = (
                    f"`{owner.key}` belongs to one {name}, not to all",
                    f"write it behind the {name} it is for",
                )
                self.report(Diagnostic("structure", message, owner.span, hint=hint))
                continue
            bound = bind(
                name,
                LAYERS[name],
                statement.arguments[1:],
                statement.span,
                self.scope,
                self.report,
                optional=written(LAYERS[name]),
            )
            if bound is not None:
                found[place] = bound
        return found


def _end_of_line(source: Source, start: int) -> int:
    end = source.text.find("\n", start)
    return len(source.text) if end < 0 else end
