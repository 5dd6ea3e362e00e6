"""From syntax tree to model: every error of a spec in one go, or a checked net.

The order: declarations and parameters first, wherever they stand; then the sections; then the net, walked by
:mod:`expand`; then the judgement of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ..errors import Diagnostic, Fix, SpecError, did_you_mean
from ..ops import LAYERS
from ..ops.base import Shape, attrs_of, dims
from ..source import Source, Span
from ..syntax import ast
from ..syntax.parser import parse
from .arguments import Bound, bind
from .blocks import find_recursion, walk_uncalled
from .expand import LOST, Cursor, Env, Expander, Labels, TooMuch
from .expects import METRICS, judge
from .model import INPUT, Expect, Layer, Model
from .names import NameScope
from .overrides import read_overrides
from .sections import Override, SectionReader, data_settings, train_settings
from .summary import static_metrics
from .values import UNKNOWN, Dims, Fault, NotKnown, Scope, Value, describe, evaluate, number
from .whole import judge_net

VERSION = 1
MAX_REPORTED = 50

T = TypeVar("T", bound=ast.Node)


def check(
    spec: ast.Spec, syntax_errors: Sequence[Diagnostic] = (), settings: Mapping[str, str] | None = None
) -> Model:
    """Return the model that a spec describes.

    Parameters
    ----------
    spec : from :func:`cnnspec.syntax.parser.parse`.
    syntax_errors : what the parser found; reported together with what is found here.
    settings : parameters and settings to change, by name, each as text (``--set width=0.5``).

    Raises
    ------
    SpecError
        With every error found, in the order of the text.
    """
    return _Checker(spec, list(syntax_errors), dict(settings or {})).model()


@dataclass
class _Checker:
    spec: ast.Spec
    diagnostics: list[Diagnostic]
    settings: dict[str, str]
    variables: dict[str, Value] = field(default_factory=dict)
    _seen: set[tuple[str, str, int]] = field(default_factory=set)

    def report(self, d: Diagnostic) -> None:
        """Keep a diagnostic; the same one at the same place (in another round of a repeat) is kept once."""
        key = (d.message, d.span.source.name, d.span.start)
        if key not in self._seen:
            self._seen.add(key)
            self.diagnostics.append(d)

    @property
    def broken(self) -> bool:
        """Whether some statement could not be read, so that what is missing may be what it said."""
        return bool(self.diagnostics)

    def of(self, kind: type[T]) -> list[T]:
        return [s for s in self.spec.statements if isinstance(s, kind)]

    def declarations(self, word: str) -> list[ast.Declaration]:
        return [s for s in self.of(ast.Declaration) if s.word == word]

    def model(self) -> Model:
        unread = bool(self.diagnostics)
        self._version()
        overrides = self._parameters()
        input_shape = self._input(unread)
        data_section, train_section = self._section("data"), self._section("train")
        data_reader = SectionReader("data", self.variables, self.report)
        data_reader.read(data_section, [o for o in overrides if o.section == "data"])
        data = data_settings(data_reader, data_section, input_shape)
        classes, classes_from = self._classes(data)
        if classes is not None:
            self.variables["classes"] = classes
        elif data_reader.lost or unread:
            self.variables["classes"] = UNKNOWN
        train_reader = SectionReader("train", self.variables, self.report)
        train_reader.read(train_section, [o for o in overrides if o.section == "train"])
        train = train_settings(train_reader, train_section, data)

        expects = self._expects()
        names, expander, end = self._net(input_shape, unread)
        model = None
        if end.index >= 0 and not self.broken:
            by_index = names.assign()
            judge_net(expander.placed, by_index, end, classes, classes_from, train, self.report)
            model = self._model(expander, by_index, end, input_shape, classes, data, train, expects)
            for failed in judge(expects, static_metrics(model)):
                self.report(failed)
        if self.diagnostics or model is None:
            raise SpecError(_in_order(self.diagnostics))
        return model

    # ---- declarations ---------------------------------------------------------------------------
    def _version(self) -> None:
        for statement in self.declarations("cnnspec"):
            values = [a.value for a in statement.arguments]
            if len(values) != 1 or not isinstance(values[0], ast.Number):
                message = "`cnnspec` is followed by the version of the language"
                self.report(Diagnostic("structure", message, statement.span, hint=f"write  cnnspec {VERSION}"))
            elif values[0].value != VERSION:
                message = f"the spec asks for version {values[0].span.text} of the language"
                label = f"this is cnnspec with language version {VERSION}"
                hint = "install a newer cnnspec, or write  cnnspec 1"
                self.report(Diagnostic("structure", message, values[0].span, label, hint=hint))

    def _parameters(self) -> list[Override]:
        """Fill ``variables`` from ``param`` lines and ``--set``; return the settings that --set changes."""
        given, overrides, errors = read_overrides(self.settings, {p.name for p in self.of(ast.ParamStatement)})
        for error in errors:
            self.report(error)
        for setting in self.of(ast.Setting):
            message = f"`{setting.name} = ...` is no statement"
            start = Span(setting.span.source, setting.span.start, setting.span.start)
            hint = f"write  param {setting.name} = {setting.value.span.text}"
            self.report(Diagnostic("structure", message, setting.span, hint=hint, fix=Fix(start, "param ")))
        seen: dict[str, Span] = {}
        for p in self.of(ast.ParamStatement):
            if p.name in seen:
                message = f"the parameter `{p.name}` is given twice"
                related = ((seen[p.name], "first given here"),)
                self.report(Diagnostic("duplicate", message, p.name_span, "given again here", related=related))
                continue
            seen[p.name] = p.name_span
            try:
                self.variables[p.name] = evaluate(given.get(p.name, p.value), Scope(self.variables, in_net=False))
            except Fault as fault:
                self.report(fault.diagnostic)
                self.variables[p.name] = UNKNOWN
            except NotKnown:
                self.variables[p.name] = UNKNOWN
        return overrides

    def _once(self, statements: Sequence[T], what: str) -> T | None:
        for again in statements[1:]:
            related = ((statements[0].span, "first said here"),)
            message = f"`{what}` is said twice"
            self.report(Diagnostic("duplicate", message, again.span, "said again here", related=related))
        return statements[0] if statements else None

    def _section(self, word: str) -> ast.Section | None:
        return self._once([s for s in self.of(ast.Section) if s.word == word], word)

    def _input(self, unread: bool) -> Shape | None:
        statement = self._once(self.declarations("input"), "input")
        if statement is None:
            if not unread:
                source = self.spec.source
                place = self.spec.statements[0].span if self.spec.statements else Span(source, 0, 0)
                first = Span(source, place.start, min(place.end, _end_of_line(source, place.start)))
                message = "the spec does not say its input"
                hint = "begin with a line such as  input 28x28x1  (height x width x channels)"
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
                form, fix = f"write  input {together}", Fix(values[0].span.to(values[-1].span), together)
            label = f"expected one size, found {found or 'nothing'}"
            self.report(Diagnostic("type", "input takes one size", statement.span, label, hint=form, fix=fix))
            return None
        try:
            value = evaluate(values[0].value, Scope(self.variables, in_net=False))
        except Fault as fault:
            self.report(fault.diagnostic)
            return None
        except NotKnown:
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
                self.report(Diagnostic("range", f"the {axis} of the input is {size}", span, label))
                return None
        return value.dims

    def _classes(self, data: object) -> tuple[int | None, str]:
        """Return the number of classes, and who says so."""
        statement = self._once(self.declarations("classes"), "classes")
        source = getattr(data, "source", None)
        of_data: int | None = getattr(source, "classes", None)
        if statement is None:
            return of_data, f"source {source.word}" if of_data is not None and source is not None else ""
        values = statement.arguments
        if len(values) != 1 or values[0].key:
            hint = "write  classes 10"
            self.report(Diagnostic("type", "classes takes one number", statement.span, hint=hint))
            return of_data, ""
        try:
            n = number(values[0].value, Scope(self.variables, in_net=False))
        except Fault as fault:
            self.report(fault.diagnostic)
            return of_data, ""
        except NotKnown:
            return of_data, ""
        if n != int(n) or not 1 <= n <= 10_000_000:
            label = f"expected a whole number of at least 1, found {describe(n)}"
            self.report(Diagnostic("range", "that is no number of classes", values[0].span, label))
            return of_data, ""
        if of_data is not None and source is not None and of_data != n:
            message = f"{source.word} has {of_data} classes"
            label = f"expected {of_data}, found {int(n)}"
            fix = Fix(values[0].span, str(of_data))
            self.report(Diagnostic("classes", message, values[0].span, label, hint=f"write  classes {of_data}", fix=fix))
        return int(n), f"line {statement.span.line}"

    def _defaults(self) -> dict[str, Bound]:
        found: dict[str, Bound] = {}
        for statement in self.declarations("defaults"):
            first = statement.arguments[0].value if statement.arguments else None
            if not isinstance(first, ast.Name) or statement.arguments[0].key:
                hint = "write  defaults conv bias=no"
                self.report(Diagnostic("structure", "`defaults` needs a layer and keys", statement.span, hint=hint))
                continue
            name, span = first.name, first.span
            if name not in LAYERS:
                near = did_you_mean(name, LAYERS)
                hint = f"did you mean `{near}`?" if near else "run  cnnspec layers  to see all layers"
                fix = Fix(span, near) if near else None
                self.report(Diagnostic("unknown-layer", f"unknown layer `{name}`", span, hint=hint, fix=fix))
                continue
            if name in found:
                message = f"the defaults of {name} are said twice"
                self.report(Diagnostic("duplicate", message, statement.span, hint="put all keys on one line"))
                continue
            bare = next((a for a in statement.arguments[1:] if not a.key), None)
            if bare is not None:
                message = f"a default is written with its key; `{bare.span.text[:40]}` has none"
                self.report(Diagnostic("structure", message, bare.span, hint=f"write  defaults {name} key=value"))
                continue
            scope = Scope(self.variables, in_net=False)
            bound = bind(
                name, attrs_of(LAYERS[name]), statement.arguments[1:], statement.span, scope, self.report, partial=True
            )
            if bound is not None:
                found[name] = bound
        return found

    def _blocks(self) -> dict[str, ast.Block]:
        blocks: dict[str, ast.Block] = {}
        for block in self.of(ast.Block):
            if block.name in LAYERS or block.name in ("residual", "repeat", "from", "project"):
                message = f"`{block.name}` is a layer already"
                hint = f"choose another name, such as my_{block.name}"
                self.report(Diagnostic("duplicate", message, block.name_span, hint=hint))
            elif block.name in blocks:
                related = ((blocks[block.name].name_span, "first written here"),)
                message = f"the block `{block.name}` is written twice"
                self.report(Diagnostic("duplicate", message, block.name_span, "written again here", related=related))
            else:
                blocks[block.name] = block
            seen: set[str] = set()
            for p in block.parameters:
                if p.name in seen:
                    message = f"the parameter `{p.name}` is given twice"
                    self.report(Diagnostic("duplicate", message, p.span))
                seen.add(p.name)
        return blocks

    def _expects(self) -> list[Expect]:
        expects = []
        for e in self.of(ast.ExpectStatement):
            if e.metric not in METRICS:
                near = did_you_mean(e.metric, METRICS)
                self.report(
                    Diagnostic(
                        "unknown-name",
                        f"unknown metric `{e.metric}`",
                        e.metric_span,
                        "nothing of this name is measured",
                        hint=f"did you mean `{near}`?" if near else f"known: {', '.join(METRICS)}",
                        fix=Fix(e.metric_span, near) if near else None,
                    )
                )
                continue
            try:
                value = number(e.value, Scope(self.variables, in_net=False))
            except Fault as fault:
                self.report(fault.diagnostic)
                continue
            except NotKnown:
                continue
            if e.metric.endswith("accuracy") and not 0 <= value <= 1:
                message = "an accuracy lies between 0 % and 100 %"
                hint = f"write  {value:g}%" if 1 < value <= 100 else ""
                fix = Fix(e.value.span, f"{value:g}%") if hint else None
                self.report(Diagnostic("range", message, e.value.span, f"found {value:g}", hint=hint, fix=fix))
                continue
            expects.append(Expect(e.metric, e.relation, value, e.span))
        return expects

    # ---- the net --------------------------------------------------------------------------------
    def _net(self, input_shape: Shape | None, unread: bool) -> tuple[NameScope, Expander, Cursor]:
        blocks = self._blocks()
        recursive = find_recursion(blocks, self.report)
        expander = Expander(self.report, blocks, self._defaults(), self.variables, recursive)
        names = NameScope()
        env = Env(self.variables, Labels(), input_shape, names)
        end = Cursor(-1, input_shape)
        flows = [s for s in self.spec.statements if isinstance(s, (ast.Flow, ast.Broken))]
        try:
            end = expander.statements(flows, end, env)
            walk_uncalled(expander, names)
        except TooMuch:
            return names, expander, LOST
        if not expander.placed and not self.broken and not unread:
            source = self.spec.source
            where = self.spec.statements[-1].span if self.spec.statements else Span(source, 0, 0)
            hint = "write layers, one a line or chained by ->, such as  conv 16 3x3 -> relu"
            self.report(Diagnostic("structure", "the net has no layers", where, hint=hint))
        elif end.index == -1 and not self.broken and input_shape is not None:
            message = "the net ends in its own input"
            self.report(Diagnostic("structure", message, flows[-1].span, "no layer stands at the end"))
        return names, expander, end

    def _model(
        self,
        expander: Expander,
        names: dict[int, str],
        end: Cursor,
        input_shape: Shape | None,
        classes: int | None,
        data: object,
        train: object,
        expects: Iterable[Expect],
    ) -> Model:
        assert input_shape is not None
        names[-1] = INPUT
        layers = tuple(
            Layer(
                names[i],
                p.op,
                tuple(names[j] for j in p.inputs),
                p.in_shapes,
                p.out_shape,
                p.step.head,
                p.trail,
                p.label,
            )
            for i, p in enumerate(expander.placed)
        )
        return Model(
            self.spec.source,
            input_shape,
            layers,
            names[end.index],
            classes,
            data,  # type: ignore[arg-type]
            train,  # type: ignore[arg-type]
            tuple(expects),
            tuple(self.settings.items()),
        )


def _end_of_line(source: Source, start: int) -> int:
    end = source.text.find("\n", start)
    return len(source.text) if end < 0 else end


def _in_order(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return diagnostics in the order of the text, too many cut off."""
    ordered = sorted(diagnostics, key=lambda d: (d.span.source.name.startswith("--set"), d.span.start))
    if len(ordered) > MAX_REPORTED:
        last = ordered[MAX_REPORTED - 1]
        more = len(ordered) - MAX_REPORTED
        ordered = [*ordered[: MAX_REPORTED - 1], replace(last, notes=(*last.notes, f"and {more} more errors"))]
    return ordered


__all__ = ["check", "parse"]
